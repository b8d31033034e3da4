// Memory of one batch: handed out in a row, given back all at once.
#pragma once

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; // the newest first
	size_t used_bytes;          // handed out since the last reset
	size_t keep_bytes;          // ceiling of what a reset keeps for the next batch
	size_t held_bytes;
};

void arena_init(struct arena *arena, size_t keep_bytes);
void arena_done(struct arena *arena);
void arena_reset(struct arena *arena);

// Zeroed and aligned for any type; lives until the reset. Never NULL: memory running out aborts, and what was not
// acknowledged comes again.
void *arena_alloc(struct arena *arena, size_t bytes);
// NUL-terminated copy.
char *arena_copy(struct arena *arena, const void *data, size_t len_bytes);
// copy of a string; NULL stays NULL
char *arena_string(struct arena *arena, const char *text);
