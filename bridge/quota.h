// How often something may happen: so many times a minute, with a burst. A bucket is one number, so that a table of them
// is small; the table of addresses has a fixed size, in which the one that is quietest makes room.
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quota_rate {
	long per_min; // 0: no limit
	long burst;   // so many at once, after a while of silence
};

// Zeroed is full.
struct bucket {
	int64_t full_us; // monotonic: when nothing of it is used any more
};

// Takes one; false when there is none, and then *retry_after_s, at least 1, says when there is.
bool bucket_take(struct bucket *bucket, struct quota_rate rate, int64_t now_ms, int64_t *retry_after_s);
// As bucket_take, and leaves it there.
bool bucket_has(const struct bucket *bucket, struct quota_rate rate, int64_t now_ms, int64_t *retry_after_s);

struct quota;

// addresses_max is rounded up to a power of two. NULL when memory ran out.
struct quota *quota_new(size_t addresses_max, struct quota_rate rate) must_check;
void quota_free(struct quota *quota);
DEFINE_CLEANUP(struct quota, quota_free)
// IPv6 addresses count by their /64: a host has all of it.
bool quota_take(struct quota *quota, const char *address, int64_t now_ms, int64_t *retry_after_s);
bool quota_has(struct quota *quota, const char *address, int64_t now_ms, int64_t *retry_after_s);
