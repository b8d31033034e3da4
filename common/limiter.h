// How much each principal may publish: two token buckets, one of messages and one of bytes, which fill at a rate up to
// a burst. An array of readings weighs as much as its readings sent one by one: otherwise a hundred empty ones in 301
// bytes would be a way round. What finds either too empty is over the limit, and counted; the counts come out as
// notices, at most one for a principal and minute. The broker's guard refuses it, ingest only tells. Pure: time is
// passed in.
//
// Memory is bounded by who publishes: whoever has been idle long enough to have its buckets full again, and of whom
// nothing is left to tell, is forgotten.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMITER_NOTICE_FIRST_MS 1000 // after the first refusal, so that its notice has something to count
#define LIMITER_NOTICE_EVERY_MS 60000

struct limits {
	int64_t messages_per_s, messages_burst; // a rate of 0: no limit
	int64_t bytes_per_s, bytes_burst;       // of payloads
};

// ERROR_INVALID: a rate without a burst, or a burst of bytes in which the largest message has no place.
bool limits_check(const struct limits *limits, struct error *error) must_check;

struct limiter;

// sweep_ms: how often the idle are forgotten.
struct limiter *limiter_new(int64_t sweep_ms, int64_t now_ms);
void limiter_free(struct limiter *limiter);
DEFINE_CLEANUP(struct limiter, limiter_free)

// How many messages a payload counts as: the elements of a JSON array, 1 for anything else. Whether it is sound JSON is
// for others to find out.
size_t limiter_weight(const char *payload, size_t bytes);

// May so many messages of so many bytes of name go on now, all or none? More than the burst at once need a full bucket.
// False also when memory ran out. limits are looked at each time.
bool limiter_take(struct limiter *limiter, const struct limits *limits, const char *name, size_t messages,
		  size_t bytes, int64_t now_ms) must_check;
// They have gone on already: what the buckets do not hold of them is counted.
void limiter_charge(struct limiter *limiter, const struct limits *limits, const char *name, size_t messages,
		    size_t bytes, int64_t now_ms);

struct limiter_notice {
	char name[PRINCIPAL_MAX];
	int64_t messages, bytes; // over the limit since the last notice
	int64_t span_ms;         // since the first of these
};
// The next notice that is due; call until false. To be called often: it costs nothing while nobody is over a limit.
// Forgets the idle, when it is time.
bool limiter_due(struct limiter *limiter, int64_t now_ms, struct limiter_notice *out);

size_t limiter_count(const struct limiter *limiter); // principals that are remembered
