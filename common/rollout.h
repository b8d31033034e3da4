// How a campaign goes forward: canaries first, then a rate that grows, thresholds on the way. Pure functions of
// counters and time; commander acts by them, and the preview says what they promise.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ROLLOUT_ERRORS_AMONG                                                                                           \
	10 // the error threshold counts as if at least so many had ended: one of two is no share yet

struct rollout {
	int64_t canary;	     // so many first; 0: none
	double success_pct;  // of the canaries, to go on
	double error_pct;    // of those that ended: above it, stop; 100: never
	double rate_per_min; // 0: all at once
	double factor;	     // the rate's growth from minute to minute, 1 or more
};

struct rollout_counts {
	int64_t total, released;
	int64_t succeeded, errors; // errors: failed and rejected
	int64_t expired, cancelled;
	int64_t forgiven_errors, forgiven_ends; // of these, what a person has seen and went on with
	bool swept;	 // total is known
	bool continuous; // there may be more later
};

enum rollout_verdict {
	ROLLOUT_RELEASE, // as many as `release` says, which may be 0
	ROLLOUT_GO_ON,	 // the canaries did well
	ROLLOUT_STOP,	 // `reason` says why
	ROLLOUT_FINISH,	 // nothing is left to do
};

struct rollout_decision {
	enum rollout_verdict verdict;
	int64_t release;
	char reason[200];
};

// pace_s: how long the part behind the canaries has been under way.
void rollout_decide(const struct rollout *rollout, const struct rollout_counts *counts, bool in_canary, double pace_s,
		    struct rollout_decision *out);

// How many may have been released pace_s after the canaries, these not counted: within each minute evenly, one at once.
double rollout_allowed(const struct rollout *rollout, double pace_s);
// When so many may have been: seconds.
double rollout_duration_s(const struct rollout *rollout, int64_t count);
