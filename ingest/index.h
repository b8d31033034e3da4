// Numbers names in the order in which they first come: a hash table from bytes to 0, 1, 2, ...
#pragma once

#include "ingest/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_slot {
	const char *name;
	size_t len_bytes;
	uint64_t hash;
	size_t number;
	unsigned generation; // of the index when it was filled; any other: free
};

struct index {
	struct index_slot *slots;
	size_t capacity; // a power of two, or 0
	size_t count;
	unsigned generation; // clearing is making the next
	uint64_t seed;	     // of the hashes
};

void index_done(struct index *index);
void index_clear(struct index *index); // keeps the memory
// The number of name; one not seen before gets count as it was, and is copied into arena.
size_t index_number(struct index *index, struct arena *arena, const char *name, size_t len_bytes, bool *added);
