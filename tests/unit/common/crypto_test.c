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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
