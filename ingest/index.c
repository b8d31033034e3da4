#include "ingest/index.h"

#include "common/crypto.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 64 };

void index_done(struct index *index)
{
	free(index->slots);
	*index = (struct index){0};
}

void index_clear(struct index *index)
{
	index->count = 0;
	if (++index->generation == 0) // after 2^32, old slots would look new
		index_done(index);
}

// FNV-1a from a basis that nobody knows, folded after each byte: epochs are the devices' own choice, and one that chose
// thousands for the same slot would make each search a walk past all of them.
static uint64_t hash_of(const struct index *index, const char *name, size_t len_bytes)
{
	uint64_t hash = index->seed;
	for (size_t i = 0; i < len_bytes; i++) {
		hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3U;
		hash ^= hash >> 32;
	}
	return hash;
}

static bool is_free(const struct index *index, const struct index_slot *slot)
{
	return !slot->name || slot->generation != index->generation;
}

static struct index_slot *find(struct index *index, uint64_t hash, const char *name, size_t len_bytes)
{
	for (size_t at = hash & (index->capacity - 1);; at = (at + 1) & (index->capacity - 1)) {
		struct index_slot *slot = &index->slots[at];
		if (is_free(index, slot) || (slot->hash == hash && slot->len_bytes == len_bytes &&
				    memcmp(slot->name, name, len_bytes) == 0))
			return slot;
	}
}

static void grow(struct index *index)
{
	struct index old = *index;
	if (old.capacity == 0)
		crypto_random(&index->seed, sizeof(index->seed));
	index->capacity = old.capacity ? 2 * old.capacity : CAPACITY_MIN;
	index->slots = calloc(index->capacity, sizeof(*index->slots));
	if (!index->slots)
		abort();
	for (size_t i = 0; i < old.capacity; i++)
		if (!is_free(&old, &old.slots[i]))
			*find(index, old.slots[i].hash, old.slots[i].name, old.slots[i].len_bytes) = old.slots[i];
	free(old.slots);
}

size_t index_number(struct index *index, struct arena *arena, const char *name, size_t len_bytes, bool *added)
{
	if (2 * (index->count + 1) > index->capacity)
		grow(index);
	uint64_t hash = hash_of(index, name, len_bytes);
	struct index_slot *slot = find(index, hash, name, len_bytes);
	*added = is_free(index, slot);
	if (*added)
		*slot = (struct index_slot){
			.name = arena_copy(arena, name, len_bytes),
			.len_bytes = len_bytes,
			.hash = hash,
			.number = index->count++,
			.generation = index->generation,
		};
	return slot->number;
}
