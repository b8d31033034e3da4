// One-time codes of an authenticator app (RFC 6238: HMAC-SHA1, 6 digits, 30 s), and recovery codes. Pure.
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"

#include <stdbool.h>
#include <stdint.h>

#define TOTP_SECRET_BYTES 20 // as RFC 4226 section 4 recommends
#define TOTP_TEXT_BYTES 33   // in base32, with the terminator
#define TOTP_STEP_S 30
#define TOTP_WINDOW 1 // steps before and after, for clocks that differ
#define TOTP_CODE_BYTES 7

void totp_text(const uint8_t secret[TOTP_SECRET_BYTES], char out[TOTP_TEXT_BYTES]); // RFC 4648 section 6
void totp_code(const uint8_t secret[TOTP_SECRET_BYTES], int64_t step, char out[TOTP_CODE_BYTES]);
// Whether code is that of a step near now and after last_step, the one used last: each code counts once. All steps are
// compared, so that time tells nothing. *step is set when it is.
bool totp_check(const uint8_t secret[TOTP_SECRET_BYTES], const char *code, int64_t now_s, int64_t last_step,
		int64_t *step) must_check;

#define RECOVERY_CODES 10
#define RECOVERY_CODE_BYTES 18 // three groups of 5 characters of 32: 75 bits; with the terminator
void recovery_code(char out[RECOVERY_CODE_BYTES]);
// As it is stored and compared: lower case without what people type between. False when it cannot be one.
bool recovery_normalize(const char *typed, char out[RECOVERY_CODE_BYTES]) must_check;
