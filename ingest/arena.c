#include "ingest/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)256 * 1024)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size_bytes, used_bytes;
	alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena, size_t keep_bytes)
{
	*arena = (struct arena){.keep_bytes = keep_bytes};
}

void arena_done(struct arena *arena)
{
	while (arena->chunks) {
		struct arena_chunk *next = arena->chunks->next;
		free(arena->chunks);
		arena->chunks = next;
	}
	arena->used_bytes = arena->held_bytes = 0;
}

void arena_reset(struct arena *arena)
{
	// The chunks go in a ring: the oldest comes to the front, so that the next batch fills them in turn.
	while (arena->chunks && arena->held_bytes > arena->keep_bytes) {
		struct arena_chunk *next = arena->chunks->next;
		arena->held_bytes -= arena->chunks->size_bytes;
		free(arena->chunks);
		arena->chunks = next;
	}
	for (struct arena_chunk *chunk = arena->chunks; chunk; chunk = chunk->next)
		chunk->used_bytes = 0;
	arena->used_bytes = 0;
}

static struct arena_chunk *chunk_with_room(struct arena *arena, size_t bytes)
{
	// After a reset, empty chunks wait behind the first.
	struct arena_chunk **link = &arena->chunks;
	for (struct arena_chunk *chunk; (chunk = *link); link = &chunk->next) {
		if (chunk->size_bytes - chunk->used_bytes < bytes)
			continue;
		if (chunk->used_bytes > 0 || chunk == arena->chunks)
			return chunk;
		*link = chunk->next;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
		return chunk;
	}
	size_t size_bytes = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
	struct arena_chunk *chunk = malloc(sizeof(*chunk) + size_bytes);
	if (!chunk)
		abort();
	chunk->size_bytes = size_bytes;
	chunk->used_bytes = 0;
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	arena->held_bytes += size_bytes;
	return chunk;
}

static void *take(struct arena *arena, size_t bytes)
{
	const size_t step = alignof(max_align_t);
	bytes = (bytes + step - 1) / step * step;
	struct arena_chunk *chunk = arena->chunks;
	if (!chunk || chunk->size_bytes - chunk->used_bytes < bytes)
		chunk = chunk_with_room(arena, bytes);
	char *start = chunk->data + chunk->used_bytes;
	chunk->used_bytes += bytes;
	arena->used_bytes += bytes;
	return start;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	return memset(take(arena, bytes), 0, bytes);
}

char *arena_copy(struct arena *arena, const void *data, size_t len_bytes)
{
	char *copy = take(arena, len_bytes + 1);
	if (len_bytes > 0)
		memcpy(copy, data, len_bytes);
	copy[len_bytes] = '\0';
	return copy;
}

char *arena_string(struct arena *arena, const char *text)
{
	return text ? arena_copy(arena, text, strlen(text)) : NULL;
}
