#include "common/crypto.h"
#include "common/jwt.h"
#include "common/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

static char *key_pem(EVP_PKEY *key)
{
	struct error error = {0};
	char *pem = key_text(key, &error);

	if (!pem)
		fail_msg("%s", error.what);
	return pem;
}

static void decoded_is(const char *text, size_t bytes, const char *expected)
{
	char out[256];
	size_t len = 0;

	assert_true(crypto_base64url_decode(text, bytes, out, sizeof(out), &len));
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(out, expected, len);
}

// Verified as any other program would, by OpenSSL and the public key.
static void signs_what_openssl_verifies(void **state)
{
	static const char claims[] = "{\"iss\":\"muster@example\",\"iat\":1}";
	EVP_PKEY *key = EVP_RSA_gen(2048);
	auto_secret char *pem = key_pem(key);
	struct error error = {0};
	struct jwt_signer *signer = jwt_signer_parse(pem, "the key", &error);
	auto_free char *jwt = signer ? jwt_sign(signer, "key-1", claims, &error) : NULL;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char signature[512];
	size_t len = 0;

	if (!jwt)
		fail_msg("%s", error.what);
	char *payload = strchr(jwt, '.') + 1;
	char *end = strchr(payload, '.');
	decoded_is(jwt, (size_t)(payload - 1 - jwt), "{\"alg\":\"RS256\",\"kid\":\"key-1\",\"typ\":\"JWT\"}");
	decoded_is(payload, (size_t)(end - payload), claims);
	assert_true(crypto_base64url_decode(end + 1, strlen(end + 1), signature, sizeof(signature), &len));
	assert_int_equal(len, 256);
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(context, signature, len, (unsigned char *)jwt, (size_t)(end - jwt)), 1);
	jwt[1] ^= 1;
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(context, signature, len, (unsigned char *)jwt, (size_t)(end - jwt)), 0);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	jwt_signer_free(signer);
}

static void refuses_what_is_no_rsa_key(void **state)
{
	EVP_PKEY *curve = EVP_EC_gen("P-256"), *small = EVP_RSA_gen(1024);
	auto_secret char *curve_pem = key_pem(curve), *small_pem = key_pem(small);
	const char *const bad[] = {curve_pem, small_pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n", ""};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error error = {0};

		assert_null(jwt_signer_parse(bad[i], "the file's private_key", &error));
		assert_non_null(strstr(error.what, "the file's private_key"));
	}
	EVP_PKEY_free(curve);
	EVP_PKEY_free(small);
	jwt_signer_free(NULL);
}

static void refuses_claims_that_are_too_large(void **state)
{
	static char claims[8000];
	EVP_PKEY *key = EVP_RSA_gen(2048);
	auto_secret char *pem = key_pem(key);
	struct error error = {0};
	struct jwt_signer *signer = jwt_signer_parse(pem, "the key", &error);

	memset(claims, 'x', sizeof(claims) - 1);
	assert_non_null(signer);
	assert_null(jwt_sign(signer, NULL, claims, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
	EVP_PKEY_free(key);
	jwt_signer_free(signer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_what_openssl_verifies),
		cmocka_unit_test(refuses_what_is_no_rsa_key),
		cmocka_unit_test(refuses_claims_that_are_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
