#include "bridge/application.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static const char *fault_of(const char *text)
{
	struct registration_request request = {.peer = "192.0.2.1"};
	auto_json struct json *body = json_parse(text, strlen(text), NULL);

	assert_non_null(body);
	const char *fault = application_parse(body, &request);
	if (fault) // a refused one leaves out untouched
		assert_null(request.csr);
	return fault;
}

static void test_takes_all_members(void **state)
{
	static const char text[] =
		"{\"csr\":\"c\",\"device\":\"kiosk-7\",\"fingerprint\":\"" HEX64 "\",\"serial\":\"SN 1\","
		"\"secret\":\"" SECRET "\",\"info\":{\"model\":\"M\"}}";
	struct registration_request request = {.peer = "192.0.2.1", .request_id = "r"};
	auto_json struct json *body = json_parse(text, strlen(text), NULL);

	assert_null(application_parse(body, &request));
	assert_string_equal(request.csr, "c");
	assert_string_equal(request.device, "kiosk-7");
	assert_string_equal(request.fingerprint, HEX64);
	assert_string_equal(request.serial, "SN 1");
	assert_string_equal(request.secret, SECRET);
	assert_string_equal(request.info, "{\"model\":\"M\"}");
	assert_string_equal(request.peer, "192.0.2.1");
}

static void test_only_the_csr_is_needed(void **state)
{
	static const char text[] = "{\"csr\":\"c\",\"serial\":null,\"info\":null}";
	struct registration_request request = {.peer = "192.0.2.1"};
	auto_json struct json *body = json_parse(text, strlen(text), NULL);

	assert_null(application_parse(body, &request));
	assert_null(request.serial);
	assert_null(request.secret);
	assert_null(request.device);
	assert_string_equal(request.info, "{}");
	assert_non_null(fault_of("{\"serial\":\"SN\"}"));
}

static void test_refuses_what_has_no_place(void **state)
{
	char long_serial[APPLICATION_SERIAL_MAX + 64];
	char long_info[APPLICATION_INFO_MAX_BYTES + 64];

	assert_non_null(fault_of("{\"csr\":\"c\",\"serial\":\"\"}"));
	assert_non_null(fault_of("{\"csr\":\"c\",\"serial\":\" SN\"}"));
	assert_non_null(fault_of("{\"csr\":\"c\",\"serial\":\"S\\u001bN\"}"));
	assert_non_null(fault_of("{\"csr\":\"c\",\"serial\":7}"));
	assert_non_null(fault_of("{\"csr\":\"c\",\"secret\":\"short\"}"));
	assert_non_null(fault_of("{\"csr\":\"c\",\"secret\":\"" SECRET "A\"}"));
	assert_non_null(fault_of("{\"csr\":\"c\",\"device\":\"Bad_Name\"}"));
	assert_non_null(fault_of("{\"csr\":\"c\",\"info\":[]}"));
	(void)snprintf(long_serial, sizeof(long_serial), "{\"csr\":\"c\",\"serial\":\"%0*d\"}",
		       APPLICATION_SERIAL_MAX + 1, 0);
	assert_non_null(fault_of(long_serial));
	(void)snprintf(long_info, sizeof(long_info), "{\"csr\":\"c\",\"info\":{\"x\":\"%0*d\"}}",
		       APPLICATION_INFO_MAX_BYTES, 0);
	assert_non_null(fault_of(long_info));
}

static void test_takes_the_secret_from_the_header(void **state)
{
	assert_string_equal(application_bearer("Bearer " SECRET), SECRET);
	assert_string_equal(application_bearer("bearer " SECRET), SECRET);
	assert_null(application_bearer(NULL));
	assert_null(application_bearer(SECRET));
	assert_null(application_bearer("Basic " SECRET));
	assert_null(application_bearer("Bearer " SECRET " "));
	assert_null(application_bearer("Bearer ' or true --"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_all_members),
		cmocka_unit_test(test_only_the_csr_is_needed),
		cmocka_unit_test(test_refuses_what_has_no_place),
		cmocka_unit_test(test_takes_the_secret_from_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
