#include "bridge/throttle.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 9 // family and up to 64 bits of the address
#define PROBES 8    // slots that an address may live in

struct slot {
	uint8_t key[KEY_BYTES];
	bool used;
	bool told; // a refusal was reported in this window
	unsigned failures;
	int64_t since_ms;
};

struct throttle {
	size_t mask;
	unsigned failures_max;
	int64_t window_ms;
	struct slot slots[];
};

struct throttle *throttle_new(size_t addresses_max, unsigned failures_max, int64_t window_ms)
{
	size_t size = PROBES;

	while (size < addresses_max)
		size *= 2;
	struct throttle *throttle = calloc(1, sizeof(*throttle) + size * sizeof(struct slot));
	if (!throttle)
		return NULL;
	throttle->mask = size - 1;
	throttle->failures_max = failures_max;
	throttle->window_ms = window_ms;
	return throttle;
}

void throttle_free(struct throttle *throttle)
{
	free(throttle);
}

// FNV-1a: the keys are few and the probes bounded, so nothing stronger is needed.
static uint64_t fnv(const void *data, size_t len_bytes)
{
	uint64_t hash = 14695981039346656037U;

	for (size_t i = 0; i < len_bytes; i++)
		hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211U;
	return hash;
}

static void key_of(const char *address, uint8_t key[KEY_BYTES])
{
	struct in6_addr six;
	struct in_addr four;

	memset(key, 0, KEY_BYTES);
	if (inet_pton(AF_INET, address, &four) == 1) {
		key[0] = 4;
		memcpy(key + 1, &four, sizeof(four));
	} else if (inet_pton(AF_INET6, address, &six) == 1) {
		bool mapped = IN6_IS_ADDR_V4MAPPED(&six);

		key[0] = mapped ? 4 : 6;
		memcpy(key + 1, six.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
	} else {
		uint64_t hash = fnv(address, strlen(address));

		memcpy(key + 1, &hash, sizeof(hash));
	}
}

static size_t hash_of(const uint8_t key[KEY_BYTES])
{
	uint64_t hash = fnv(key, KEY_BYTES);

	return (size_t)(hash ^ (hash >> 32));
}

static bool is_over(const struct throttle *throttle, const struct slot *slot, int64_t now_ms)
{
	return !slot->used || now_ms - slot->since_ms >= throttle->window_ms;
}

// The slot of this key, or NULL; *victim is the one to take for a new key.
static struct slot *find(struct throttle *throttle, const uint8_t key[KEY_BYTES], int64_t now_ms,
			 struct slot **victim)
{
	size_t start = hash_of(key);

	*victim = NULL;
	for (size_t i = 0; i < PROBES; i++) {
		struct slot *slot = &throttle->slots[(start + i) & throttle->mask];

		if (is_over(throttle, slot, now_ms))
			slot->used = false;
		else if (memcmp(slot->key, key, KEY_BYTES) == 0)
			return slot;
		if (!*victim || ((*victim)->used && (!slot->used || slot->since_ms < (*victim)->since_ms)))
			*victim = slot;
	}
	return NULL;
}

void throttle_failed(struct throttle *throttle, const char *address, int64_t now_ms)
{
	uint8_t key[KEY_BYTES];
	struct slot *victim;

	key_of(address, key);
	struct slot *slot = find(throttle, key, now_ms, &victim);
	if (!slot) {
		slot = victim;
		*slot = (struct slot){.used = true, .since_ms = now_ms};
		memcpy(slot->key, key, KEY_BYTES);
	}
	slot->failures++;
}

struct throttle_verdict throttle_check(struct throttle *throttle, const char *address, int64_t now_ms)
{
	struct throttle_verdict verdict = {.blocked = false};
	uint8_t key[KEY_BYTES];
	struct slot *victim;

	key_of(address, key);
	struct slot *slot = find(throttle, key, now_ms, &victim);
	if (!slot || slot->failures < throttle->failures_max)
		return verdict;
	verdict.blocked = true;
	verdict.first = !slot->told;
	verdict.retry_after_s = (throttle->window_ms - (now_ms - slot->since_ms) + 999) / 1000;
	slot->told = true;
	return verdict;
}
