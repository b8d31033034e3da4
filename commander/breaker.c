#include "commander/breaker.h"

#include "common/clock.h"

static const char *const names[] = {
	[BREAKER_CLOSED] = "closed", [BREAKER_HALF_OPEN] = "half-open", [BREAKER_OPEN] = "open"};

void breaker_init(struct breaker *breaker, unsigned failures_max, int64_t base_ms, int64_t max_ms)
{
	*breaker = (struct breaker){.failures_max = failures_max, .base_ms = base_ms, .max_ms = max_ms};
}

const char *breaker_state_name(enum breaker_state state)
{
	return names[state];
}

enum breaker_state breaker_state(struct breaker *breaker, int64_t now_ms)
{
	if (breaker->state == BREAKER_OPEN && now_ms >= breaker->until_ms) {
		breaker->state = BREAKER_HALF_OPEN;
		breaker->trial_ms = 0;
	}
	return breaker->state;
}

unsigned breaker_room(struct breaker *breaker, unsigned wanted, int64_t now_ms)
{
	switch (breaker_state(breaker, now_ms)) {
	case BREAKER_CLOSED:
		return wanted;
	case BREAKER_HALF_OPEN:
		if (breaker->trial_ms != 0 && now_ms - breaker->trial_ms < breaker->max_ms)
			return 0;
		return wanted > 0 ? 1 : 0;
	case BREAKER_OPEN:
		break;
	}
	return 0;
}

void breaker_asks(struct breaker *breaker, int64_t now_ms)
{
	if (breaker->state == BREAKER_HALF_OPEN)
		breaker->trial_ms = now_ms;
}

void breaker_success(struct breaker *breaker)
{
	if (breaker->state == BREAKER_OPEN)
		return; // an answer to what was asked before it opened
	breaker->state = BREAKER_CLOSED;
	breaker->failures = breaker->openings = 0;
	breaker->trial_ms = 0;
}

static void open_for(struct breaker *breaker, int64_t open_ms, int64_t now_ms)
{
	breaker->state = BREAKER_OPEN;
	breaker->until_ms = now_ms + open_ms;
	breaker->trial_ms = 0;
}

void breaker_failure(struct breaker *breaker, int64_t now_ms)
{
	if (breaker->state == BREAKER_OPEN)
		return;
	breaker->failures++;
	if (breaker->state == BREAKER_CLOSED && breaker->failures < breaker->failures_max)
		return;
	// At least half of the time, so that it is a pause, and at random beyond, so that two programs do not meet.
	int64_t length_ms = breaker->base_ms;
	for (unsigned i = 0; i < breaker->openings && length_ms < breaker->max_ms; i++)
		length_ms *= 2;
	if (length_ms > breaker->max_ms)
		length_ms = breaker->max_ms;
	breaker->openings++;
	open_for(breaker, length_ms / 2 + clock_backoff_ms(0, length_ms / 2, length_ms / 2), now_ms);
}

void breaker_hold(struct breaker *breaker, int64_t hold_ms, int64_t now_ms)
{
	if (breaker->state == BREAKER_OPEN && breaker->until_ms >= now_ms + hold_ms)
		return;
	open_for(breaker, hold_ms, now_ms);
}

int64_t breaker_wait_ms(struct breaker *breaker, int64_t now_ms)
{
	return breaker_state(breaker, now_ms) == BREAKER_OPEN ? breaker->until_ms - now_ms : 0;
}
