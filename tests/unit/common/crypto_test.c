#include "common/crypto.h"

#include "tests/unit/scratch.h"

static void sha256_matches_fips_180(void **state)
{
	(void)state;
	char hex[SHA256_HEX_BYTES];
	crypto_sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypto_sha256_hex("", 0, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void base64url_matches_rfc_4648(void **state)
{
	(void)state;
	static const struct {
		const char *bytes, *text;
	} cases[] = {{"", ""},		 {"f", "Zg"},	       {"fo", "Zm8"},	       {"foo", "Zm9v"},
		     {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].bytes);
		char text[16];
		assert_int_equal(crypto_base64url_bytes(len), strlen(cases[i].text) + 1);
		crypto_base64url(cases[i].bytes, len, text);
		assert_string_equal(text, cases[i].text);

		char back[16];
		size_t back_bytes = 99;
		assert_true(crypto_base64url_decode(text, strlen(text), back, len, &back_bytes));
		assert_int_equal(back_bytes, len);
		assert_memory_equal(back, cases[i].bytes, len);
	}
}

static void base64url_is_strict(void **state)
{
	(void)state;
	static const char *const cases[] = {"Z",      "Zg==",  "Zg=",  "Zh",   "Zm9",	"Zm+v", "Zm/v",
					    "Zm9v\n", " Zm9v", "Zm 9", "Z*9v", "AAAAA", "_-+"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[16];
		size_t len = 77;
		if (crypto_base64url_decode(cases[i], strlen(cases[i]), out, sizeof(out), &len))
			fail_msg("'%s' was accepted", cases[i]);
		assert_int_equal(len, 77);
	}
	char out[3];
	size_t len;
	assert_false(crypto_base64url_decode("Zm9vYg", 6, out, sizeof(out), &len)); // four bytes do not fit
	assert_false(crypto_base64url_decode("Zm9v\0", 5, out, sizeof(out), &len));
}

static void random_text_has_its_form(void **state)
{
	(void)state;
	char token[TOKEN_TEXT_BYTES], other[TOKEN_TEXT_BYTES];
	crypto_random_token(token);
	crypto_random_token(other);
	assert_int_equal(strlen(token), 43);
	assert_string_not_equal(token, other);

	for (int i = 0; i < 100; i++) {
		char uuid[UUID_TEXT_BYTES];
		crypto_uuid4(uuid);
		assert_int_equal(strlen(uuid), 36);
		assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
		assert_true(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
		assert_int_equal(uuid[14], '4');
		assert_non_null(strchr("89ab", uuid[19]));
	}
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;
	for (size_t i = 0; i < len; i++) {
		const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return len;
}

static void hkdf_matches_rfc_5869(void **state)
{
	uint8_t secret[22];
	uint8_t salt[13];
	uint8_t info[11] = {0};
	uint8_t key[CRYPTO_KEY_BYTES];
	char hex[2 * sizeof(key) + 1];
	size_t secret_bytes = unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", secret);
	size_t salt_bytes = unhex("000102030405060708090a0b0c", salt);
	(void)unhex("f0f1f2f3f4f5f6f7f8f9", info);
	crypto_hkdf(secret, secret_bytes, salt, salt_bytes, (const char *)info,
		    key); // appendix A.1, the first 32 bytes
	crypto_hex(key, sizeof(key), hex);
	assert_string_equal(hex, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

// Test case 16 of the GCM specification (McGrew and Viega).
static void gcm_matches_its_specification(void **state)
{
	uint8_t key[CRYPTO_KEY_BYTES];
	uint8_t nonce[CRYPTO_NONCE_BYTES];
	uint8_t aad[20];
	uint8_t plain[60];
	uint8_t sealed[sizeof(plain) + CRYPTO_TAG_BYTES];
	uint8_t opened[sizeof(plain)];
	char hex[2 * sizeof(sealed) + 1];
	struct error error = {0};
	(void)unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key);
	(void)unhex("cafebabefacedbaddecaf888", nonce);
	(void)unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
	(void)unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
		    "b16aedf5aa0de657ba637b39", plain);
	assert_true(crypto_seal(key, nonce, aad, sizeof(aad), plain, sizeof(plain), sealed, &error));
	crypto_hex(sealed, sizeof(sealed), hex);
	assert_string_equal(hex, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b0"
				 "8b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
	assert_true(crypto_open(key, nonce, aad, sizeof(aad), sealed, sizeof(sealed), opened, &error));
	assert_memory_equal(opened, plain, sizeof(plain));

	for (size_t i = 0; i < 8 * sizeof(sealed); i++) {
		sealed[i / 8] ^= (uint8_t)(1U << i % 8);
		assert_false(crypto_open(key, nonce, aad, sizeof(aad), sealed, sizeof(sealed), opened, &error));
		sealed[i / 8] ^= (uint8_t)(1U << i % 8);
	}
	assert_int_equal(error.kind, ERROR_DENIED);
	for (size_t i = 0; i < sizeof(opened); i++)
		assert_int_equal(opened[i], 0); // nothing of what did not hold
	aad[0] ^= 1;
	assert_false(crypto_open(key, nonce, aad, sizeof(aad), sealed, sizeof(sealed), opened, &error));
	assert_false(crypto_open(key, nonce, aad, sizeof(aad), sealed, CRYPTO_TAG_BYTES - 1, opened, &error));
}

static void equal_and_wipe(void **state)
{
	(void)state;
	assert_true(crypto_equal("abc", "abd", 2));
	assert_false(crypto_equal("abc", "abd", 3));
	assert_true(crypto_equal("", "x", 0));
	char secret[] = "secret";
	crypto_wipe(secret, sizeof(secret));
	for (size_t i = 0; i < sizeof(secret); i++)
		assert_int_equal(secret[i], 0);
	crypto_wipe(NULL, 0);
}


int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_matches_fips_180),
		cmocka_unit_test(base64url_matches_rfc_4648), cmocka_unit_test(base64url_is_strict),
		cmocka_unit_test(random_text_has_its_form),   cmocka_unit_test(equal_and_wipe),
		cmocka_unit_test(hkdf_matches_rfc_5869),      cmocka_unit_test(gcm_matches_its_specification),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
