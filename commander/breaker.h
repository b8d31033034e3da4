// A circuit breaker: keeps a service that is down from being asked by everybody at once, and everybody from waiting
// for it. Closed: all may ask. After failures_max failures in a row it opens, and nobody may until a while has passed
// (base_ms, doubling with each failed trial up to max_ms, with jitter). Then it is half open: one may ask, and what
// comes of that closes it, or opens it again.
//
// Knows no network and no clock: time is passed in, monotonic.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

struct breaker {
	unsigned failures_max;
	int64_t base_ms, max_ms;
	enum breaker_state state;
	unsigned failures; // in a row
	unsigned openings; // since it was last closed
	int64_t until_ms;  // open: when a trial may be made
	int64_t trial_ms;  // half open: when the trial began; 0: none is under way
};

void breaker_init(struct breaker *breaker, unsigned failures_max, int64_t base_ms, int64_t max_ms);
enum breaker_state breaker_state(struct breaker *breaker, int64_t now_ms); // as of now: opens and half opens by time
const char *breaker_state_name(enum breaker_state state);

// How many may ask now, out of wanted; those who do say so with breaker_asks, and later what came of it. A trial of
// which nothing is heard for max_ms is forgotten.
unsigned breaker_room(struct breaker *breaker, unsigned wanted, int64_t now_ms);
void breaker_asks(struct breaker *breaker, int64_t now_ms);
// It answered, whatever it said about the request.
void breaker_success(struct breaker *breaker);
void breaker_failure(struct breaker *breaker, int64_t now_ms);
// It asked to be left alone for so long (Retry-After).
void breaker_hold(struct breaker *breaker, int64_t hold_ms, int64_t now_ms);
// Until it may be asked again; 0: now.
int64_t breaker_wait_ms(struct breaker *breaker, int64_t now_ms);
