#include "bridge/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *fault_of(const char *text)
{
	struct enroll_claim claim = {.peer = "192.0.2.1"};
	auto_json struct json *body = json_parse(text, strlen(text), NULL);

	assert_non_null(body);
	const char *fault = claim_parse(body, &claim);
	if (fault) // a refused claim leaves out untouched
		assert_null(claim.token);
	return fault;
}

static void test_takes_all_members(void **state)
{
	static const char text[] = "{\"token\":\"t\",\"csr\":\"c\",\"device\":\"kiosk-7\","
				   "\"fingerprint\":\"" HEX64 "\"}";
	struct enroll_claim claim = {.peer = "192.0.2.1", .request_id = "r"};
	auto_json struct json *body = json_parse(text, strlen(text), NULL);

	assert_null(claim_parse(body, &claim));
	assert_string_equal(claim.token, "t");
	assert_string_equal(claim.csr, "c");
	assert_string_equal(claim.device, "kiosk-7");
	assert_string_equal(claim.fingerprint, HEX64);
	assert_string_equal(claim.peer, "192.0.2.1");
}

static void test_device_and_fingerprint_may_be_absent(void **state)
{
	static const char text[] = "{\"token\":\"t\",\"csr\":\"c\",\"device\":null}";
	struct enroll_claim claim = {.device = "stale"};
	auto_json struct json *body = json_parse(text, strlen(text), NULL);

	assert_null(claim_parse(body, &claim));
	assert_null(claim.device);
	assert_null(claim.fingerprint);
}

static void test_refuses_other_forms(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"token\":\"t\"}",
		"{\"csr\":\"c\"}",
		"{\"token\":1,\"csr\":\"c\"}",
		"{\"token\":\"t\",\"csr\":[\"c\"]}",
		"{\"token\":\"t\",\"csr\":\"c\",\"device\":7}",
		"{\"token\":\"t\",\"csr\":\"c\",\"device\":\"\"}",
		"{\"token\":\"t\",\"csr\":\"c\",\"device\":\"Kiosk\"}",
		"{\"token\":\"t\",\"csr\":\"c\",\"device\":\"svc.ingest\"}",
		"{\"token\":\"t\",\"csr\":\"c\",\"device\":\"a/b\"}",
		"{\"token\":\"t\",\"csr\":\"c\",\"fingerprint\":\"abc\"}",
		"{\"token\":\"t\",\"csr\":\"c\",\"fingerprint\":\"G" HEX64 "\"}",
		"{\"token\":\"t\",\"csr\":\"c\",\"fingerprint\":{}}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_non_null(fault_of(texts[i]));
}

static void test_a_credential_needs_no_request(void **state)
{
	static const char good[] = "{\"token\":\"t\",\"device\":\"scale-1\",\"fingerprint\":\"" HEX64 "\"}";
	static const char *const bad[] = {"{}", "{\"device\":\"scale-1\"}", "{\"token\":\"t\",\"device\":\"a/b\"}",
					  "{\"token\":\"t\",\"fingerprint\":\"x\"}"};
	struct enroll_claim claim = {.peer = "192.0.2.1"};
	auto_json struct json *body = json_parse(good, strlen(good), NULL);

	assert_null(claim_parse_credential(body, &claim));
	assert_string_equal(claim.token, "t");
	assert_string_equal(claim.device, "scale-1");
	assert_null(claim.csr);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		auto_json struct json *wrong = json_parse(bad[i], strlen(bad[i]), NULL);

		assert_non_null(claim_parse_credential(wrong, &claim));
	}
}

static void test_refuses_a_huge_request(void **state)
{
	struct enroll_claim claim = {.peer = NULL};
	auto_json struct json *body = json_new_object();
	char csr[PEM_MAX_BYTES + 2];

	memset(csr, 'A', sizeof(csr) - 1);
	csr[sizeof(csr) - 1] = '\0';
	json_set_string(body, "token", "t");
	json_set_string(body, "csr", csr);
	assert_non_null(claim_parse(body, &claim));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_all_members),
		cmocka_unit_test(test_device_and_fingerprint_may_be_absent),
		cmocka_unit_test(test_refuses_other_forms),
		cmocka_unit_test(test_a_credential_needs_no_request),
		cmocka_unit_test(test_refuses_a_huge_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
