#include "broker-conf/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool parse(const char *text, struct control_request *out)
{
	struct error error = {0};

	return control_parse(text, strlen(text), out, &error);
}

static void takes_revoke_and_restore(void **state)
{
	struct control_request request;

	assert_true(parse("{\"op\":\"revoke\",\"device\":\"kiosk-7\"}", &request));
	assert_int_equal(request.op, CONTROL_REVOKE);
	assert_int_equal(request.kind, REVOCATION_DEVICE);
	assert_string_equal(request.name, "kiosk-7");
	assert_true(parse("{\"serial\":\"00FFab\",\"op\":\"restore\"}", &request));
	assert_int_equal(request.op, CONTROL_RESTORE);
	assert_int_equal(request.kind, REVOCATION_SERIAL);
	assert_string_equal(request.name, "ffab");
}

static void refuses_everything_else(void **state)
{
	static const char *const texts[] = {
		"",
		"x",
		"[]",
		"{}",
		"{\"op\":\"revoke\"}",
		"{\"device\":\"kiosk-7\"}",
		"{\"op\":\"Revoke\",\"device\":\"kiosk-7\"}",
		"{\"op\":\"revoke\",\"device\":7}",
		"{\"op\":\"revoke\",\"device\":\"svc.ingest\"}",
		"{\"op\":\"revoke\",\"device\":\"+\"}",
		"{\"op\":\"revoke\",\"serial\":\"zz\"}",
		"{\"op\":\"revoke\",\"device\":\"a\",\"serial\":\"1\"}",
		"{\"op\":\"revoke\",\"device\":\"a\",\"unless\":\"x\"}",
		"{\"op\":\"revoke\",\"op\":\"restore\",\"device\":\"a\"}",
		"{\"op\":\"revoke\",\"device\":\"a\"}{}",
	};
	struct control_request request;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (parse(texts[i], &request))
			fail_msg("took %s", texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_revoke_and_restore),
		cmocka_unit_test(refuses_everything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
