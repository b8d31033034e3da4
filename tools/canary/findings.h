// The canary's part of the database: its tokens, its revocations, its findings (db/migrations/0018).
#pragma once

#include "common/error.h"
#include "common/pg.h"
#include "tools/canary/proof.h"

#include <stdbool.h>
#include <stdint.h>

// LISTEN, and the last change, from which on findings_news looks: -1 asks for it.
bool findings_listen(struct pg *pg, int64_t *change, struct error *error) must_check;
// cause is "" when nobody was revoked since *change, which moves on.
bool findings_news(struct pg *pg, int64_t *change, char cause[PROOF_CAUSE_BYTES], struct error *error) must_check;
// Makes a token with this hash good for one enrolment of this cell's canary.
bool findings_token(struct pg *pg, long cell, const char *sha256_hex, struct error *error) must_check;
// Has the certificate revoked. requested_at is the database's time, in its own words.
bool findings_revoke(struct pg *pg, long cell, const char *serial, char requested_at[40],
		     struct error *error) must_check;
// Since then, by the same clock.
bool findings_seconds_since(struct pg *pg, const char *requested_at, double *out, struct error *error) must_check;
bool findings_add(struct pg *pg, long cell, const struct proof *proof, struct error *error) must_check;
