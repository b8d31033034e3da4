// The second factor at rest and at work: secrets sealed with a key derived from the dashboard's key file, codes that
// count once, and the state of a login between its two steps, which the browser keeps sealed.
#pragma once

#include "dashboard/auth.h"
#include "dashboard/dashboard.h"
#include "dashboard/totp.h"

#include <stdbool.h>

#define FACTOR_SEALED_BYTES (CRYPTO_NONCE_BYTES + TOTP_SECRET_BYTES + CRYPTO_TAG_BYTES)
#define FACTOR_SEALED_HEX_BYTES (2 * FACTOR_SEALED_BYTES + 1)

// False when there is no key file, or sealing fails.
bool factor_seal(const struct dashboard *dashboard, const char *user, const uint8_t secret[TOTP_SECRET_BYTES],
		 char out[FACTOR_SEALED_HEX_BYTES], struct error *error) must_check;
bool factor_open(const struct dashboard *dashboard, const char *user, const char *sealed_hex,
		 uint8_t secret[TOTP_SECRET_BYTES], struct error *error) must_check;

// Whether code is a code of the user's authenticator app, or a recovery code, not used before. It is used up only when
// take says so. False with error set when that cannot be found out.
bool factor_check(struct dashboard *dashboard, const char *user, const char *code, bool take, bool *right,
		  struct error *error) must_check;

// What the first step of a login found, for the second.
struct pending {
	char user[AUTH_USER_MAX];
	bool right; // the password, or link, was
	bool by_link;
	int64_t until_ms; // since 1970
	char mark[17];	  // of the password then: another one since makes it worthless
};
#define PENDING_LIFETIME_MS INT64_C(300000)
#define PENDING_TEXT_MAX 512
// Bound to the browser: its address and User-Agent.
bool pending_seal(const struct dashboard *dashboard, const struct http_request *request, const struct pending *pending,
		  char out[PENDING_TEXT_MAX], struct error *error) must_check;
// False also when it is too old.
bool pending_open(const struct dashboard *dashboard, const struct http_request *request, const char *text,
		  struct pending *out) must_check;
