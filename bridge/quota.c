#include "bridge/quota.h"

#include "bridge/address.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_US INT64_C(60000000)
#define PROBES 8 // slots that an address may live in

struct slot {
	struct address_key key;
	struct bucket bucket;
};

struct quota {
	size_t mask;
	struct quota_rate rate;
	struct slot slots[];
};

// The generic cell rate algorithm (ITU-T I.371), as a virtual schedule.
bool bucket_has(const struct bucket *bucket, struct quota_rate rate, int64_t now_ms, int64_t *retry_after_s)
{
	int64_t now_us = now_ms * 1000;

	if (rate.per_min == 0)
		return true;
	int64_t ahead_us = bucket->full_us - now_us;
	int64_t allowed_us = (rate.burst - 1) * MINUTE_US / rate.per_min;
	if (ahead_us <= allowed_us)
		return true;
	*retry_after_s = (ahead_us - allowed_us + 999999) / 1000000;
	return false;
}

bool bucket_take(struct bucket *bucket, struct quota_rate rate, int64_t now_ms, int64_t *retry_after_s)
{
	int64_t now_us = now_ms * 1000;

	if (rate.per_min == 0)
		return true;
	if (!bucket_has(bucket, rate, now_ms, retry_after_s))
		return false;
	bucket->full_us = (bucket->full_us > now_us ? bucket->full_us : now_us) + MINUTE_US / rate.per_min;
	return true;
}

struct quota *quota_new(size_t addresses_max, struct quota_rate rate)
{
	size_t size = PROBES;

	while (size < addresses_max)
		size *= 2;
	struct quota *quota = calloc(1, sizeof(*quota) + size * sizeof(struct slot));
	if (!quota)
		return NULL;
	quota->mask = size - 1;
	quota->rate = rate;
	return quota;
}

void quota_free(struct quota *quota)
{
	free(quota);
}

// The slot of this address, which may be one that another has left.
static struct bucket *find(struct quota *quota, const char *address)
{
	struct address_key key = address_key(address);
	size_t start = address_hash(&key);
	struct slot *quietest = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct slot *slot = &quota->slots[(start + i) & quota->mask];

		if (memcmp(&slot->key, &key, sizeof(key)) == 0)
			return &slot->bucket;
		if (!quietest || slot->bucket.full_us < quietest->bucket.full_us)
			quietest = slot;
	}
	*quietest = (struct slot){.key = key};
	return &quietest->bucket;
}

bool quota_take(struct quota *quota, const char *address, int64_t now_ms, int64_t *retry_after_s)
{
	return bucket_take(find(quota, address), quota->rate, now_ms, retry_after_s);
}

bool quota_has(struct quota *quota, const char *address, int64_t now_ms, int64_t *retry_after_s)
{
	return bucket_has(find(quota, address), quota->rate, now_ms, retry_after_s);
}
