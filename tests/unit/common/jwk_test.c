#include "common/jwk.h"

#include "tests/unit/scratch.h"

static bool parse(const char *text, struct jws_key *out)
{
	struct error error = {0};
	struct json *json auto_json = json_parse(text, strlen(text), &error);
	assert_non_null(json);
	return jwk_parse(json, out, &error);
}

// RFC 8037, appendix A.
static void the_key_of_the_standard(void **state)
{
	static const char x[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
	struct jws_key key;
	char text[200];
	(void)snprintf(text, sizeof(text), "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\"}",
		       "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", x);
	assert_true(parse(text, &key));
	assert_string_equal(key.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
	struct json *json auto_json = jwk_json(&key);
	assert_string_equal(json_text(json), text);
}

static void others_are_refused(void **state)
{
	struct jws_key key;
	assert_false(parse("{}", &key));
	assert_false(parse("{\"kty\":\"RSA\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", &key));
	assert_false(parse("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}", &key));
	assert_false(parse("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", &key));
	assert_false(parse("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"another\","
			   "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
			   &key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_of_the_standard),
		cmocka_unit_test(others_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
