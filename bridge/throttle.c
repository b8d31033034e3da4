#include "bridge/throttle.h"

#include "bridge/address.h"

#include <stdlib.h>
#include <string.h>

#define PROBES 8 // slots that an address may live in

struct slot {
	struct address_key key;
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

static bool is_over(const struct throttle *throttle, const struct slot *slot, int64_t now_ms)
{
	return !slot->used || now_ms - slot->since_ms >= throttle->window_ms;
}

// The slot of this key, or NULL; *victim is the one to take for a new key.
static struct slot *find(struct throttle *throttle, const struct address_key *key, int64_t now_ms,
			 struct slot **victim)
{
	size_t start = address_hash(key);

	*victim = NULL;
	for (size_t i = 0; i < PROBES; i++) {
		struct slot *slot = &throttle->slots[(start + i) & throttle->mask];

		if (is_over(throttle, slot, now_ms))
			slot->used = false;
		else if (memcmp(&slot->key, key, sizeof(*key)) == 0)
			return slot;
		if (!*victim || ((*victim)->used && (!slot->used || slot->since_ms < (*victim)->since_ms)))
			*victim = slot;
	}
	return NULL;
}

void throttle_failed(struct throttle *throttle, const char *address, int64_t now_ms)
{
	struct address_key key = address_key(address);
	struct slot *victim;

	struct slot *slot = find(throttle, &key, now_ms, &victim);
	if (!slot) {
		slot = victim;
		*slot = (struct slot){.key = key, .used = true, .since_ms = now_ms};
	}
	slot->failures++;
}

struct throttle_verdict throttle_check(struct throttle *throttle, const char *address, int64_t now_ms)
{
	struct throttle_verdict verdict = {.blocked = false};
	struct address_key key = address_key(address);
	struct slot *victim;

	struct slot *slot = find(throttle, &key, now_ms, &victim);
	if (!slot || slot->failures < throttle->failures_max)
		return verdict;
	verdict.blocked = true;
	verdict.first = !slot->told;
	verdict.retry_after_s = (throttle->window_ms - (now_ms - slot->since_ms) + 999) / 1000;
	slot->told = true;
	return verdict;
}
