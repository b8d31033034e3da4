#include "dashboard/totp.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define CODES 1000000u
#define GROUP 5
#define GROUPS 3

void totp_text(const uint8_t secret[TOTP_SECRET_BYTES], char out[TOTP_TEXT_BYTES])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint32_t bits = 0, count = 0;
	size_t used = 0;

	for (size_t i = 0; i < TOTP_SECRET_BYTES; i++) {
		bits = (bits << 8) | secret[i];
		for (count += 8; count >= 5; count -= 5)
			out[used++] = alphabet[(bits >> (count - 5)) & 31];
	}
	out[used] = '\0';
}

void totp_code(const uint8_t secret[TOTP_SECRET_BYTES], int64_t step, char out[TOTP_CODE_BYTES])
{
	uint8_t counter[8], hash[SHA1_BYTES];

	for (int i = 0; i < 8; i++)
		counter[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
	crypto_hmac_sha1(secret, TOTP_SECRET_BYTES, counter, sizeof(counter), hash);

	const uint8_t *at = hash + (hash[SHA1_BYTES - 1] & 15); // RFC 4226, section 5.3
	uint32_t number = ((uint32_t)(at[0] & 127) << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];

	(void)snprintf(out, TOTP_CODE_BYTES, "%06u", number % CODES);
	crypto_wipe(hash, sizeof(hash));
}

bool totp_check(const uint8_t secret[TOTP_SECRET_BYTES], const char *code, int64_t now_s, int64_t last_step,
		int64_t *step)
{
	bool found = false;

	if (strlen(code) != TOTP_CODE_BYTES - 1)
		return false;
	for (int64_t at = now_s / TOTP_STEP_S - TOTP_WINDOW; at <= now_s / TOTP_STEP_S + TOTP_WINDOW; at++) {
		char expected[TOTP_CODE_BYTES];

		totp_code(secret, at, expected);
		if (crypto_equal(expected, code, TOTP_CODE_BYTES - 1) && at > last_step) {
			found = true;
			*step = at;
		}
	}
	return found;
}

// Without what looks alike: i, l, o, u.
static const char recovery_alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

void recovery_code(char out[RECOVERY_CODE_BYTES])
{
	uint8_t random[GROUPS * GROUP];
	size_t used = 0;

	crypto_random(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++) {
		if (i > 0 && i % GROUP == 0)
			out[used++] = '-';
		out[used++] = recovery_alphabet[random[i] & 31];
	}
	out[used] = '\0';
	crypto_wipe(random, sizeof(random));
}

// What people type for what they read; '\0' for what is in no code.
static char recovery_character(char typed)
{
	static const struct {
		char typed, meant;
	} alike[] = {{'o', '0'}, {'i', '1'}, {'l', '1'}};
	char c = (char)tolower((unsigned char)typed);

	for (size_t i = 0; i < sizeof(alike) / sizeof(alike[0]); i++) {
		if (alike[i].typed == c)
			c = alike[i].meant;
	}
	return (char)(strchr(recovery_alphabet, c) ? c : '\0');
}

bool recovery_normalize(const char *typed, char out[RECOVERY_CODE_BYTES])
{
	size_t used = 0;

	for (; *typed; typed++) {
		if (*typed == '-' || *typed == ' ')
			continue;
		char c = recovery_character(*typed);

		if (c == '\0' || used == RECOVERY_CODE_BYTES - 1)
			return false;
		if (used % (GROUP + 1) == GROUP)
			out[used++] = '-';
		out[used++] = c;
	}
	out[used] = '\0';
	return used == RECOVERY_CODE_BYTES - 1;
}
