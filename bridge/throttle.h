// How many enrolments an address may fail in a while: guessing tokens is hopeless already (256 bits), this keeps
// the database and the history from being flooded. Bounded memory: a table of fixed size, in which the address
// whose window is oldest makes room. Names of devices are counted in the same way, in a table of their own.
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct throttle;

// addresses_max is rounded up to a power of two. NULL when memory ran out.
struct throttle *throttle_new(size_t addresses_max, unsigned failures_max, int64_t window_ms) must_check;
void throttle_free(struct throttle *throttle);
DEFINE_CLEANUP(struct throttle, throttle_free)

// Times are monotonic. IPv6 addresses count by their /64: a host has all of it. What is no address counts by its hash.
void throttle_failed(struct throttle *throttle, const char *address, int64_t now_ms);

struct throttle_verdict {
	bool blocked;
	bool first;            // the first refusal in this window: worth an event, the others are not
	int64_t retry_after_s; // at least 1 when blocked
};
struct throttle_verdict throttle_check(struct throttle *throttle, const char *address, int64_t now_ms);
