#include "common/rollout.h"

#include <math.h>
#include <stdio.h>

#define PLENTY 1e12 // more than there are devices: growth ends here

double rollout_allowed(const struct rollout *rollout, double pace_s)
{
	double rate = rollout->rate_per_min;
	double sum = 1;
	double minutes = pace_s > 0 ? pace_s / 60 : 0;

	if (rate <= 0)
		return PLENTY;
	if (rollout->factor <= 1)
		return fmin(sum + rate * minutes, PLENTY);
	while (minutes > 1 && sum < PLENTY) {
		sum += rate;
		rate *= rollout->factor;
		minutes -= 1;
	}
	return fmin(sum + rate * minutes, PLENTY);
}

double rollout_duration_s(const struct rollout *rollout, int64_t count)
{
	double rate = rollout->rate_per_min;
	double left = (double)count - 1;
	double minutes = 0;

	if (rate <= 0 || left <= 0)
		return 0;
	if (rollout->factor <= 1)
		return left / rate * 60;
	while (left > rate) {
		left -= rate;
		rate *= rollout->factor;
		minutes += 1;
	}
	return (minutes + left / rate) * 60;
}

static bool has_too_many_errors(const struct rollout *rollout, const struct rollout_counts *counts,
				struct rollout_decision *out)
{
	int64_t errors = counts->errors - counts->forgiven_errors;
	int64_t ends = counts->succeeded + counts->errors - counts->forgiven_ends;
	int64_t among = ends > ROLLOUT_ERRORS_AMONG ? ends : ROLLOUT_ERRORS_AMONG;

	if (rollout->error_pct >= 100 || (double)errors * 100 <= rollout->error_pct * (double)among)
		return false;
	out->verdict = ROLLOUT_STOP;
	(void)snprintf(out->reason, sizeof(out->reason), "%lld of %lld that ended failed or refused, more than %g %%",
		       (long long)errors, (long long)ends, rollout->error_pct);
	return true;
}

// The canaries are the only ones released so far.
static void decide_canary(const struct rollout *rollout, const struct rollout_counts *counts,
			  struct rollout_decision *out)
{
	int64_t canaries = rollout->canary < counts->total ? rollout->canary : counts->total;
	int64_t needed = (int64_t)ceil((double)canaries * rollout->success_pct / 100 - 1e-9);
	int64_t lost = counts->errors + counts->expired + counts->cancelled;

	if (counts->released < canaries) {
		out->release = canaries - counts->released;
	} else if (counts->succeeded >= needed) {
		out->verdict = ROLLOUT_GO_ON;
	} else if (lost > canaries - needed) {
		out->verdict = ROLLOUT_STOP;
		(void)snprintf(out->reason, sizeof(out->reason),
			       "canary: %lld of %lld did not succeed, and %lld must", (long long)lost,
			       (long long)canaries, (long long)needed);
	}
}

void rollout_decide(const struct rollout *rollout, const struct rollout_counts *counts, bool in_canary, double pace_s,
		    struct rollout_decision *out)
{
	int64_t ended = counts->succeeded + counts->errors + counts->expired + counts->cancelled;

	*out = (struct rollout_decision){.verdict = ROLLOUT_RELEASE};
	if (!counts->swept)
		return; // the first ones must not be chosen from a part of them
	if (in_canary) {
		decide_canary(rollout, counts, out);
		return;
	}
	if (has_too_many_errors(rollout, counts, out))
		return;
	if (counts->released >= counts->total) {
		if (!counts->continuous && ended >= counts->total)
			out->verdict = ROLLOUT_FINISH;
		return;
	}
	double allowed = floor(rollout_allowed(rollout, pace_s)) + (double)rollout->canary;
	int64_t left = counts->total - counts->released;

	if (allowed > (double)counts->released)
		out->release = allowed - (double)counts->released < (double)left
				       ? (int64_t)allowed - counts->released
				       : left;
}
