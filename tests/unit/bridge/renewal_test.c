#include "bridge/renewal.h"

#include "tests/unit/scratch.h"

static const char *parse(const char *text, bool with_request, struct renewal_request *out)
{
	static struct json *json;

	json_free(json);
	json = json_parse(text, strlen(text), NULL);
	assert_non_null(json);
	return renewal_parse(json, with_request, out);
}

static void what_is_a_request(void **state)
{
	struct renewal_request request;
	assert_null(parse("{\"request\":\"r-1\",\"csr\":\"x\"}", true, &request));
	assert_string_equal(request.request, "r-1");
	assert_string_equal(request.csr, "x");
	assert_null(request.fingerprint);
	assert_null(parse("{\"csr\":\"x\",\"fingerprint\":null,\"more\":1}", false, &request));
	assert_null(request.request);
	assert_null(parse("{\"csr\":\"x\",\"fingerprint\":"
			  "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}",
			  false, &request));
	assert_non_null(request.fingerprint);
}

static void what_is_none(void **state)
{
	static const char *const wrong[] = {
		"7",
		"[]",
		"{}",
		"{\"csr\":\"x\"}",
		"{\"request\":\"\",\"csr\":\"x\"}",
		"{\"request\":\"a b\",\"csr\":\"x\"}",
		"{\"request\":\"1234567890123456789012345678901234567\",\"csr\":\"x\"}",
		"{\"request\":7,\"csr\":\"x\"}",
		"{\"request\":\"r\"}",
		"{\"request\":\"r\",\"csr\":7}",
		"{\"request\":\"r\",\"csr\":\"x\",\"fingerprint\":\"AB\"}",
		"{\"request\":\"r\",\"csr\":\"x\",\"fingerprint\":7}",
	};
	struct renewal_request request;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!parse(wrong[i], true, &request))
			fail_msg("taken: %s", wrong[i]);
	}
	// The refusal can name the request.
	assert_non_null(parse("{\"request\":\"r-2\"}", true, &request));
	assert_string_equal(request.request, "r-2");

	char *huge auto_free = malloc(PEM_MAX_BYTES + 64);
	assert_non_null(huge);
	int used = sprintf(huge, "{\"csr\":\"");
	memset(huge + used, 'x', PEM_MAX_BYTES + 1);
	(void)sprintf(huge + used + PEM_MAX_BYTES + 1, "\"}");
	assert_non_null(parse(huge, false, &request));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_a_request), cmocka_unit_test(what_is_none)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
