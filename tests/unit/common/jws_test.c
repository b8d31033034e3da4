#include "common/jws.h"

#include "common/crypto.h"
#include "common/limits.h"
#include "tests/unit/scratch.h"

#define TYP "muster-test+jws"
// Apart from its key, so that a search for keys left in the sources finds none.
#define PEM_LINE(word) "-----" word " PRIVATE KEY-----\n"

// RFC 8037 appendix A.1 (the private key as PKCS#8), A.2, A.3 and A.4.
static const char rfc8037_private_key[] =
	PEM_LINE("BEGIN") "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n" PEM_LINE("END");
static const char rfc8037_x[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
static const char rfc8037_thumbprint[] = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
static const char rfc8037_signing_input[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
static const char rfc8037_signature[] =
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

static struct jws_signer *rfc8037_signer(void **state)
{
	char *path auto_free = scratch_write(state, "rfc8037.pem", rfc8037_private_key, 0600);
	struct error error = {0};
	struct jws_signer *signer = jws_signer_load(path, &error);
	if (!signer)
		fail_msg("%s", error.what);
	return signer;
}

static void rfc8037_vectors(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	const struct jws_key *key = jws_signer_key(signer);
	char x[44];
	crypto_base64url(key->public_key, JWS_KEY_BYTES, x);
	assert_string_equal(x, rfc8037_x);
	assert_string_equal(key->kid, rfc8037_thumbprint);

	uint8_t signature[JWS_SIGNATURE_BYTES];
	char text[90];
	assert_true(jws_raw_sign(signer, rfc8037_signing_input, strlen(rfc8037_signing_input), signature, NULL));
	crypto_base64url(signature, sizeof(signature), text);
	assert_string_equal(text, rfc8037_signature);
	assert_true(jws_raw_verify(key, rfc8037_signing_input, strlen(rfc8037_signing_input), signature));
	assert_false(jws_raw_verify(key, rfc8037_signing_input, strlen(rfc8037_signing_input) - 1, signature));
	signature[0] ^= 1;
	assert_false(jws_raw_verify(key, rfc8037_signing_input, strlen(rfc8037_signing_input), signature));
}

// Ed25519 is deterministic. Made with Python's cryptography over
// {"alg":"EdDSA","kid":"kPrK_...","typ":"muster-test+jws"} and {"a":1}.
static const char peer_jws[] =
	"eyJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsiLCJ0eXAiOiJt"
	"dXN0ZXItdGVzdCtqd3MifQ.eyJhIjoxfQ.qo6hOL8CR7dhHk18wKjc-0Fat8rZHRWkR0iRYR93VioFPoX4aE4NL6fMMKtV_lN51z"
	"ZnnrOXlLBVwBwsSrczAg";

static void agrees_with_another_implementation(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	char *jws auto_free = jws_sign(signer, TYP, "{\"a\":1}", 7, NULL);
	assert_string_equal(jws, peer_jws);
	char *payload auto_free = NULL;
	size_t len;
	assert_true(jws_verify(peer_jws, strlen(peer_jws), TYP, jws_signer_key(signer), 1, &payload, &len, NULL));
	assert_string_equal(payload, "{\"a\":1}");
	assert_int_equal(len, 7);
}

static void must_refuse(const char *jws, size_t len, const char *typ, const struct jws_key *keys, size_t count,
			const char *why)
{
	char *payload = NULL;
	size_t payload_bytes = 77;
	struct error error = {0};
	if (jws_verify(jws, len, typ, keys, count, &payload, &payload_bytes, &error))
		fail_msg("accepted: %.*s", (int)len, jws);
	assert_null(payload);
	assert_int_equal(payload_bytes, 77);
	assert_int_equal(error.kind, ERROR_INVALID);
	if (!strstr(error.what, why))
		fail_msg("'%s' does not say '%s'", error.what, why);
}

static void every_flipped_bit_is_refused(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	size_t len = strlen(peer_jws);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		char *flipped auto_free = malloc(len);
		assert_non_null(flipped);
		memcpy(flipped, peer_jws, len);
		flipped[bit / 8] = (char)(flipped[bit / 8] ^ 1 << bit % 8);
		must_refuse(flipped, len, TYP, jws_signer_key(signer), 1, "");
	}
}

static void every_prefix_is_refused(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	for (size_t len = 0; len < strlen(peer_jws); len++)
		must_refuse(peer_jws, len, TYP, jws_signer_key(signer), 1, "");
}

// Signs any header, so that only the header can be at fault.
static char *sign_with_header(const struct jws_signer *signer, const char *header, const char *payload)
{
	char h[700], p[700], s[90], *jws, *whole;
	uint8_t signature[JWS_SIGNATURE_BYTES];
	crypto_base64url(header, strlen(header), h);
	crypto_base64url(payload, strlen(payload), p);
	assert_true(asprintf(&jws, "%s.%s", h, p) > 0);
	assert_true(jws_raw_sign(signer, jws, strlen(jws), signature, NULL));
	crypto_base64url(signature, sizeof(signature), s);
	assert_true(asprintf(&whole, "%s.%s", jws, s) > 0);
	free(jws);
	return whole;
}

#define KID "\"kid\":\"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\""

static void headers_are_checked(void **state)
{
	static const struct {
		const char *header, *why;
	} cases[] = {
		{"{\"alg\":\"none\"," KID ",\"typ\":\"" TYP "\"}", "alg"},
		{"{\"alg\":\"HS256\"," KID ",\"typ\":\"" TYP "\"}", "alg"},
		{"{\"alg\":\"eddsa\"," KID ",\"typ\":\"" TYP "\"}", "alg"},
		{"{\"alg\":5," KID ",\"typ\":\"" TYP "\"}", "alg"},
		{"{" KID ",\"typ\":\"" TYP "\"}", "alg"},
		{"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"," KID ",\"typ\":\"" TYP "\"}", "header"},
		{"{\"alg\":\"EdDSA\",\"crit\":[\"b64\"],\"b64\":false," KID ",\"typ\":\"" TYP "\"}", "crit"},
		{"{\"alg\":\"EdDSA\",\"crit\":null," KID ",\"typ\":\"" TYP "\"}", "crit"},
		{"{\"alg\":\"EdDSA\"," KID ",\"typ\":\"muster-other+jws\"}", "typ"},
		{"{\"alg\":\"EdDSA\"," KID "}", "typ"},
		{"{\"alg\":\"EdDSA\",\"typ\":\"" TYP "\"}", "kid"},
		{"{\"alg\":\"EdDSA\",\"kid\":\"other\",\"typ\":\"" TYP "\"}", "kid"},
		{"{\"alg\":\"EdDSA\",\"kid\":null,\"typ\":\"" TYP "\"}", "kid"},
		{"[]", "header"},
		{"EdDSA", "header"},
		{"", "header"},
	};
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *jws auto_free = sign_with_header(signer, cases[i].header, "{}");
		must_refuse(jws, strlen(jws), TYP, jws_signer_key(signer), 1, cases[i].why);
	}
	// The control: nothing else is wrong with them. A member that nobody knows is no fault (RFC 7515 section 4).
	char *good auto_free =
		sign_with_header(signer, "{\"alg\":\"EdDSA\"," KID ",\"typ\":\"" TYP "\",\"x\":1}", "{}");
	char *payload auto_free = NULL;
	size_t len;
	assert_true(jws_verify(good, strlen(good), TYP, jws_signer_key(signer), 1, &payload, &len, NULL));
}

static void forms_are_checked(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	const struct jws_key *key = jws_signer_key(signer);
	static const char *const endings[] = {".", ".x", "=", "\n", " ", "A"};
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		char *jws auto_free = NULL;
		assert_true(asprintf(&jws, "%s%s", peer_jws, endings[i]) > 0);
		must_refuse(jws, strlen(jws), TYP, key, 1, "");
	}
	must_refuse("", 0, TYP, key, 1, "three parts");
	must_refuse("..", 2, TYP, key, 1, "header");
	must_refuse("a.b", 3, TYP, key, 1, "three parts");
	must_refuse("....", 4, TYP, key, 1, "three parts");

	char *huge auto_free = malloc(JWS_MAX_BYTES + 1);
	assert_non_null(huge);
	memset(huge, 'A', JWS_MAX_BYTES + 1);
	must_refuse(huge, JWS_MAX_BYTES + 1, TYP, key, 1, "too large");
	must_refuse(peer_jws, strlen(peer_jws), TYP, NULL, 0, "kid");
}

static void one_of_several_keys(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	char *path auto_free = scratch_path(state, "other.pem");
	assert_true(jws_signer_create(path, NULL));
	struct jws_signer *other cleanup(jws_signer_free_cleanup) = jws_signer_load(path, NULL);
	assert_non_null(other);
	struct jws_key keys[] = {*jws_signer_key(other), *jws_signer_key(signer)};
	char *payload auto_free = NULL;
	size_t len;
	assert_true(jws_verify(peer_jws, strlen(peer_jws), TYP, keys, 2, &payload, &len, NULL));
	must_refuse(peer_jws, strlen(peer_jws), TYP, keys, 1, "kid");
	// The right name on the wrong key.
	memcpy(keys[0].kid, keys[1].kid, sizeof(keys[0].kid));
	must_refuse(peer_jws, strlen(peer_jws), TYP, keys, 1, "signature");
}

static void large_payloads_reach_the_ceiling(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = rfc8037_signer(state);
	size_t max = 48900; // in base64url, with header and signature, just under 64 KiB
	char *text auto_free = malloc(JWS_MAX_BYTES);
	assert_non_null(text);
	memset(text, '\0', JWS_MAX_BYTES);
	char *jws auto_free = jws_sign(signer, TYP, text, max, NULL);
	assert_non_null(jws);
	char *payload auto_free = NULL;
	size_t len;
	assert_true(jws_verify(jws, strlen(jws), TYP, jws_signer_key(signer), 1, &payload, &len, NULL));
	assert_int_equal(len, max);
	struct error error;
	assert_null(jws_sign(signer, TYP, text, JWS_MAX_BYTES, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
}

static void keys_are_private_files(void **state)
{
	struct error error;
	char *path auto_free = scratch_path(state, "key.pem");
	assert_true(jws_signer_create(path, &error));
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_false(jws_signer_create(path, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);

	static const mode_t modes[] = {0640, 0604, 0660};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_null(jws_signer_load(path, &error));
		assert_int_equal(error.kind, ERROR_DENIED);
	}
	char *text auto_free = scratch_write(state, "text.pem", "not a key", 0600);
	assert_null(jws_signer_load(text, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	char *none auto_free = scratch_path(state, "none.pem");
	assert_null(jws_signer_load(none, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	jws_signer_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rfc8037_vectors, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(agrees_with_another_implementation, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(every_flipped_bit_is_refused, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(every_prefix_is_refused, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(headers_are_checked, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(forms_are_checked, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(one_of_several_keys, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(large_payloads_reach_the_ceiling, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(keys_are_private_files, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
