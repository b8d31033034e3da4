// How many requests a person, a key or an address may make: token buckets that fill evenly up to a burst, in a table of
// fixed size. A key is forgotten when newer ones need its place; forgetting is in its favour. Pure: time is passed in.
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THROTTLE_KEYS_MAX 8192

struct throttle;

struct throttle_rate {
	int64_t count, window_ms; // so many in such a time; a count of 0: no limit
	int64_t burst;		  // at once, after a pause
};

struct throttle_state { // after a request
	int64_t remaining;
	int64_t retry_ms; // until there is one more; 0 while there is one
	int64_t full_ms;  // until all are there again
};

struct throttle *throttle_new(void);
void throttle_free(struct throttle *throttle);
DEFINE_CLEANUP(struct throttle, throttle_free)

// Takes one, unless there is none. Times are of the monotonic clock.
bool throttle_take(struct throttle *throttle, const char *key, const struct throttle_rate *rate, int64_t now_ms,
		   struct throttle_state *out) must_check;
