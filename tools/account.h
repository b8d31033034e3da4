// Accounts, their tokens, and enrolment tokens, written to the database as role muster_admin; each with its audit row.
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"
#include "common/error.h"
#include "common/pg.h"

#include <stdbool.h>

// Makes the account without password if there is none of that name.
bool account_ensure(struct pg *pg, const char *name, const char *role, struct error *error) must_check;
// ERROR_EXISTS when the name is taken. password_hash NULL: login link only.
bool account_add(struct pg *pg, const char *name, const char *role, const char *password_hash,
		 struct error *error) must_check;

// kind "api" or "login". The token itself is only in out, the database keeps its SHA-256.
bool account_token_create(struct pg *pg, const char *user, const char *kind, const char *label, long lifetime_s,
			  char out[TOKEN_TEXT_BYTES], struct error *error) must_check;
bool account_token_valid(struct pg *pg, const char *token, bool *valid, struct error *error) must_check;

#define ENROLLMENT_ID_BYTES 9 // 8 hex digits
struct enrollment {
	const char *device; // NULL: any
	const char *tags;   // comma-separated; NULL: none
	long uses;
	long lifetime_s;
	long cell; // 0: the least loaded
	const char *tenant; // NULL: default
};
bool enrollment_create(struct pg *pg, const struct enrollment *enrollment, char token[TOKEN_TEXT_BYTES],
		       char id[ENROLLMENT_ID_BYTES], struct error *error) must_check;
// ERROR_NOT_FOUND when there is none with this id, or it is revoked already.
bool enrollment_revoke(struct pg *pg, const char *id, struct error *error) must_check;

#define ACCOUNT_ACTOR_BYTES 64
// Who acts, for the audit: "cli:" and the login name on this machine. Returns out.
const char *account_actor(char out[ACCOUNT_ACTOR_BYTES]);
// detail is JSON text.
bool account_audit(struct pg *pg, const char *action, const char *target, const char *detail,
		   struct error *error) must_check;
