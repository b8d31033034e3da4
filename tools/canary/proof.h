// One proof, without its doing: what was seen of it, what comes next, and whether it holds.
#pragma once

#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PROOF_TRIES 3
#define PROOF_CUT_MS 10000 // a session that lives on for longer was not cut
#define PROOF_TRY_MS 10000 // a broker that says neither yes nor no for so long proves nothing
#define PROOF_CAUSE_BYTES (DEVICE_ID_MAX + 16)

enum proof_step {
	PROOF_AWAIT_CUT,
	PROOF_TRY, // to connect with the revoked certificate
	PROOF_OVER,
};

struct proof {
	char cause[PROOF_CAUSE_BYTES]; // "device kiosk-7"; "" on schedule
	char serial[41];
	char requested_at[40]; // as the database says it
	bool cut;
	double cut_s; // by the database's clock
	int refused, admitted;
	enum proof_step step;
	int64_t deadline_ms; // monotonic, of this step
};

// The revocation was requested. Longer texts are cut.
void proof_begin(struct proof *proof, const char *cause, const char *serial, const char *requested_at, int64_t now_ms);
void proof_cut(struct proof *proof, double seconds, int64_t now_ms);
void proof_answered(struct proof *proof, bool admitted, int64_t now_ms);
// The next step; time alone may bring it on.
enum proof_step proof_next(struct proof *proof, int64_t now_ms);
// Of one that is over.
bool proof_holds(const struct proof *proof);
