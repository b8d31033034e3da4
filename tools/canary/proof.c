#include "tools/canary/proof.h"

#include <stdio.h>

void proof_begin(struct proof *proof, const char *cause, const char *serial, const char *requested_at, int64_t now_ms)
{
	*proof = (struct proof){.step = PROOF_AWAIT_CUT, .deadline_ms = now_ms + PROOF_CUT_MS};
	(void)snprintf(proof->cause, sizeof(proof->cause), "%s", cause);
	(void)snprintf(proof->serial, sizeof(proof->serial), "%s", serial);
	(void)snprintf(proof->requested_at, sizeof(proof->requested_at), "%s", requested_at);
}

static void begin_try(struct proof *proof, int64_t now_ms)
{
	bool done = proof->refused + proof->admitted >= PROOF_TRIES;

	proof->step = done ? PROOF_OVER : PROOF_TRY;
	proof->deadline_ms = now_ms + PROOF_TRY_MS;
}

void proof_cut(struct proof *proof, double seconds, int64_t now_ms)
{
	if (proof->step != PROOF_AWAIT_CUT)
		return;
	proof->cut = true;
	proof->cut_s = seconds;
	begin_try(proof, now_ms);
}

void proof_answered(struct proof *proof, bool admitted, int64_t now_ms)
{
	if (proof->step != PROOF_TRY)
		return;
	if (admitted)
		proof->admitted++;
	else
		proof->refused++;
	begin_try(proof, now_ms);
}

enum proof_step proof_next(struct proof *proof, int64_t now_ms)
{
	if (proof->step != PROOF_OVER && now_ms >= proof->deadline_ms) {
		if (proof->step == PROOF_AWAIT_CUT)
			begin_try(proof, now_ms); // whether it is let in is worth knowing all the more
		else
			proof->step = PROOF_OVER;
	}
	return proof->step;
}

bool proof_holds(const struct proof *proof)
{
	return proof->step == PROOF_OVER && proof->cut && proof->cut_s * 1000 <= PROOF_CUT_MS &&
	       proof->refused == PROOF_TRIES && proof->admitted == 0;
}
