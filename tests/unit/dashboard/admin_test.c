#include "dashboard/admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS 1767225600000
#define BODY "{\"device\":\"kiosk-7\",\"action\":\"ping\"}"
#define ID "0123456789abcdef"

static const uint8_t master[CRYPTO_KEY_BYTES] = {1, 2, 3};

// As a client makes it, over timestamp, "." and body.
static void sign(const char *secret, const char *timestamp, const char *body, char out[SHA256_HEX_BYTES])
{
	char text[512];
	uint8_t mac[SHA256_BYTES];
	int length = snprintf(text, sizeof(text), "%s.%s", timestamp, body);

	crypto_hmac_sha256(secret, strlen(secret), text, (size_t)length, mac);
	crypto_hex(mac, sizeof(mac), out);
}

static const char *check(const char *id, const char *timestamp, const char *signature, const char *body, int64_t now_ms)
{
	const struct admin_claim claim = {id, timestamp, signature, body, strlen(body)};
	uint8_t ignored[SHA256_BYTES];

	return admin_check(master, &claim, now_ms, ignored);
}

static void takes_what_is_signed_now(void **state)
{
	char secret[TOKEN_TEXT_BYTES], signature[SHA256_HEX_BYTES];

	admin_secret(master, ID, secret);
	assert_int_equal(strlen(secret), 43);
	sign(secret, "1767225600000", BODY, signature);
	assert_null(check(ID, "1767225600000", signature, BODY, NOW_MS));
	assert_null(check(ID, "1767225600000", signature, BODY, NOW_MS + ADMIN_WINDOW_MS));
	assert_null(check(ID, "1767225600000", signature, BODY, NOW_MS - ADMIN_WINDOW_MS));
	assert_non_null(strstr(check(ID, "1767225600000", signature, BODY, NOW_MS + ADMIN_WINDOW_MS + 1), "5 minutes"));
	assert_non_null(strstr(check(ID, "1767225600000", signature, BODY, NOW_MS - ADMIN_WINDOW_MS - 1), "5 minutes"));
}

static void each_changed_bit_is_seen(void **state)
{
	char secret[TOKEN_TEXT_BYTES], signature[SHA256_HEX_BYTES], body[] = BODY;

	admin_secret(master, ID, secret);
	sign(secret, "1767225600000", BODY, signature);
	for (size_t bit = 0; bit < 8 * strlen(BODY); bit++) {
		body[bit / 8] ^= (char)(1 << bit % 8);
		if (body[bit / 8] != '\0')
			assert_non_null(check(ID, "1767225600000", signature, body, NOW_MS));
		body[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_null(check(ID, "1767225600000", signature, body, NOW_MS));
	for (size_t i = 0; i < strlen(signature); i++) {
		char kept = signature[i];

		signature[i] = kept == '0' ? '1' : '0';
		assert_non_null(check(ID, "1767225600000", signature, BODY, NOW_MS));
		signature[i] = kept;
	}
	assert_non_null(check(ID, "1767225600001", signature, BODY, NOW_MS));
	assert_non_null(check("0123456789abcdee", "1767225600000", signature, BODY, NOW_MS));
}

static void says_what_is_missing(void **state)
{
	char secret[TOKEN_TEXT_BYTES], signature[SHA256_HEX_BYTES];

	admin_secret(master, ID, secret);
	sign(secret, "1767225600000", BODY, signature);
	assert_non_null(strstr(check(NULL, "1767225600000", signature, BODY, NOW_MS), "needed"));
	assert_non_null(strstr(check(ID, NULL, signature, BODY, NOW_MS), "needed"));
	assert_non_null(strstr(check(ID, "1767225600000", NULL, BODY, NOW_MS), "needed"));
	assert_non_null(strstr(check("../etc", "1767225600000", signature, BODY, NOW_MS), "hex"));
	assert_non_null(strstr(check(ID, "now", signature, BODY, NOW_MS), "hex"));
	assert_non_null(strstr(check(ID, "1767225600000", "00", BODY, NOW_MS), "hex"));
}

static void secrets_differ_by_key_and_by_master(void **state)
{
	const uint8_t other[CRYPTO_KEY_BYTES] = {4};
	char first[TOKEN_TEXT_BYTES], second[TOKEN_TEXT_BYTES], third[TOKEN_TEXT_BYTES];

	admin_secret(master, ID, first);
	admin_secret(master, "0123456789abcdee", second);
	admin_secret(other, ID, third);
	assert_string_not_equal(first, second);
	assert_string_not_equal(first, third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_signed_now),
		cmocka_unit_test(each_changed_bit_is_seen),
		cmocka_unit_test(says_what_is_missing),
		cmocka_unit_test(secrets_differ_by_key_and_by_master),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
