#include "dashboard/throttle.h"

#include "common/crypto.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 16
#define WAYS 8 // places in which a key may stand
#define SETS (THROTTLE_KEYS_MAX / WAYS)
#define SCALE 1000000 // levels are in millionths, so that a millisecond of one a day still counts

struct entry {
	uint8_t key[KEY_BYTES]; // start of the SHA-256 of the key
	int64_t level, filled_ms;
	bool used;
};

struct throttle {
	struct entry entries[SETS][WAYS];
};

struct throttle *throttle_new(void)
{
	return calloc(1, sizeof(struct throttle));
}

void throttle_free(struct throttle *throttle)
{
	free(throttle);
}

// The key's own place, a free one, or that of whoever asked longest ago.
static struct entry *find(struct throttle *throttle, const uint8_t hash[SHA256_BYTES], bool *fresh)
{
	struct entry *set = throttle->entries[(((size_t)hash[KEY_BYTES] << 8) | hash[KEY_BYTES + 1]) % SETS];
	struct entry *place = &set[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].used && memcmp(set[i].key, hash, KEY_BYTES) == 0) {
			*fresh = false;
			return &set[i];
		}
		if (place->used && (!set[i].used || set[i].filled_ms < place->filled_ms))
			place = &set[i];
	}
	*fresh = true;
	return place;
}

static void fill(struct entry *entry, const struct throttle_rate *rate, int64_t now_ms)
{
	int64_t full = rate->burst * SCALE, elapsed_ms = now_ms - entry->filled_ms;
	int64_t to_full_ms = (full - entry->level) / rate->count * rate->window_ms / SCALE + rate->window_ms;

	if (elapsed_ms >= to_full_ms)
		entry->level = full;
	else if (elapsed_ms > 0)
		entry->level += elapsed_ms * rate->count * SCALE / rate->window_ms;
	if (entry->level > full)
		entry->level = full;
	entry->filled_ms = now_ms;
}

static int64_t wait_ms(const struct throttle_rate *rate, int64_t missing)
{
	int64_t per = rate->count * SCALE;

	return missing <= 0 ? 0 : (missing * rate->window_ms + per - 1) / per;
}

bool throttle_take(struct throttle *throttle, const char *key, const struct throttle_rate *rate, int64_t now_ms,
		   struct throttle_state *out)
{
	uint8_t hash[SHA256_BYTES];
	bool fresh;

	*out = (struct throttle_state){.remaining = rate->burst};
	if (rate->count <= 0)
		return true;
	crypto_sha256(key, strlen(key), hash);
	struct entry *entry = find(throttle, hash, &fresh);

	if (fresh) {
		*entry = (struct entry){.level = rate->burst * SCALE, .filled_ms = now_ms, .used = true};
		memcpy(entry->key, hash, KEY_BYTES);
	}
	fill(entry, rate, now_ms);
	bool taken = entry->level >= SCALE;

	if (taken)
		entry->level -= SCALE;
	out->remaining = entry->level / SCALE;
	out->retry_ms = wait_ms(rate, SCALE - entry->level);
	out->full_ms = wait_ms(rate, rate->burst * SCALE - entry->level);
	return taken;
}
