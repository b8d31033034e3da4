#include "common/webhook.h"

#include "tests/unit/scratch.h"

static void a_key_file_has_32_bytes(void **state)
{
	auto_free char *path = scratch_path(state, "webhook.key");
	struct webhook_key key;
	struct error error = {0};
	char text[TOKEN_TEXT_BYTES];

	assert_true(webhook_key_load(&key, NULL, &error));
	assert_false(key.known);
	crypto_random_token(text);
	assert_true(file_write(path, text, strlen(text), 0600, &error));
	assert_true(webhook_key_load(&key, path, &error));
	assert_true(key.known);
	assert_true(file_write(path, "short", 5, 0600, &error));
	assert_false(webhook_key_load(&key, path, &error));
	assert_true(file_write(path, text, strlen(text), 0644, &error));
	assert_false(webhook_key_load(&key, path, &error));
}

static void another_salt_is_another_secret(void **state)
{
	struct webhook_key key = {.known = true};
	char a[TOKEN_TEXT_BYTES], b[TOKEN_TEXT_BYTES], again[TOKEN_TEXT_BYTES];

	webhook_secret(&key, "a", a);
	webhook_secret(&key, "b", b);
	webhook_secret(&key, "a", again);
	assert_string_equal(a, again);
	assert_string_not_equal(a, b);
}

// printf '%s.%s' 1767225600000 '{"a":1}' | openssl dgst -sha256 -hmac secret
static void signs_as_openssl_does(void **state)
{
	char signature[SHA256_HEX_BYTES];

	webhook_sign("secret", "1767225600000", "{\"a\":1}", 7, signature);
	assert_string_equal(signature, "8a3c4fffe1a8f8ee4a7791ec97b88487d77b0d9d0f00f193ad6231564481ebb5");
}

static void takes_https_only(void **state)
{
	static const char *const good[] = {"https://example.org", "https://example.org:8443/a?b=c",
					   "http://127.0.0.1:8080/x", "http://localhost/", "http://[::1]:80/"};
	static const char *const bad[] = {"http://example.org",
					  "ftp://example.org",
					  "https://",
					  "https://user@example.org/",
					  "https://a b/",
					  "https://example.org/#x",
					  "http://localhost.evil.org",
					  "javascript:alert(1)",
					  "https:///x",
					  "https://example.org\\@evil.org",
					  "https://exämple.org"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(webhook_url_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(webhook_url_ok(bad[i]));
}

static void a_bearer_secret_opens_for_its_address_only(void **state)
{
	static const char *const bad[] = {"", "a b", "a\r\nX: y", "=", "a=b", "\xc3\xa9"};
	struct webhook_key key = {.known = true}, other = {.known = true, .master = {1}};
	char longest[WEBHOOK_BEARER_MAX + 2] = "", sealed[WEBHOOK_SEALED_BYTES], again[WEBHOOK_SEALED_BYTES],
					  out[WEBHOOK_BEARER_MAX + 1];
	struct error error = {0};

	memset(longest, 'x', WEBHOOK_BEARER_MAX);
	assert_true(webhook_seal(&key, "https://example.org/", longest, sealed, &error));
	assert_int_equal(strlen(sealed), WEBHOOK_SEALED_BYTES - 1);
	assert_true(webhook_open(&key, "https://example.org/", sealed, out, &error));
	assert_string_equal(out, longest);
	assert_true(webhook_seal(&key, "https://example.org/", longest, again, &error));
	assert_string_not_equal(sealed, again);
	assert_false(webhook_open(&key, "https://example.net/", sealed, out, &error));
	assert_false(webhook_open(&other, "https://example.org/", sealed, out, &error));
	sealed[40] = sealed[40] == 'A' ? 'B' : 'A';
	assert_false(webhook_open(&key, "https://example.org/", sealed, out, &error));
	assert_false(webhook_open(&key, "https://example.org/", "", out, &error));
	longest[WEBHOOK_BEARER_MAX] = 'x';
	assert_false(webhook_seal(&key, "https://example.org/", longest, sealed, &error));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(webhook_bearer_ok(bad[i]));
	assert_true(webhook_bearer_ok("aZ9-._~+/=="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_file_has_32_bytes, scratch_setup, scratch_teardown),
		cmocka_unit_test(another_salt_is_another_secret),
		cmocka_unit_test(signs_as_openssl_does),
		cmocka_unit_test(takes_https_only),
		cmocka_unit_test(a_bearer_secret_opens_for_its_address_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
