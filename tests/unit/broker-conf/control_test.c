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
	struct control_request request auto_control = {0};

	assert_true(parse("{\"op\":\"revoke\",\"device\":\"kiosk-7\",\"change\":12}", &request));
	assert_int_equal(request.op, CONTROL_CHANGE);
	assert_int_equal(request.change, 12);
	assert_int_equal(request.count, 1);
	assert_true(request.changes[0].revoked);
	assert_int_equal(request.changes[0].kind, REVOCATION_DEVICE);
	assert_string_equal(request.changes[0].name, "kiosk-7");
	control_done(&request);
	assert_true(parse("{\"serial\":\"00FFab\",\"op\":\"restore\"}", &request));
	assert_int_equal(request.op, CONTROL_CHANGE);
	assert_int_equal(request.change, -1);
	assert_false(request.changes[0].revoked);
	assert_int_equal(request.changes[0].kind, REVOCATION_SERIAL);
	assert_string_equal(request.changes[0].name, "ffab");
}

static void takes_kick(void **state)
{
	struct control_request request auto_control = {0};

	assert_true(parse("{\"op\":\"kick\",\"device\":\"kiosk-7\"}", &request));
	assert_int_equal(request.op, CONTROL_KICK);
	assert_string_equal(request.changes[0].name, "kiosk-7");
}

static void takes_lists(void **state)
{
	struct control_request request auto_control = {0};

	assert_true(
		parse("{\"op\":\"list\",\"change\":9,\"part\":2,\"parts\":3,\"revoke\":[\"device a\",\"serial 0F\"],"
		      "\"restore\":[\"device b\"]}",
		      &request));
	assert_int_equal(request.op, CONTROL_LIST);
	assert_int_equal(request.change, 9);
	assert_int_equal(request.part, 2);
	assert_int_equal(request.parts, 3);
	assert_int_equal(request.count, 3);
	assert_string_equal(request.changes[1].name, "f");
	assert_true(request.changes[1].revoked);
	assert_string_equal(request.changes[2].name, "b");
	assert_false(request.changes[2].revoked);
	control_done(&request);
	assert_true(parse("{\"op\":\"list\",\"change\":0,\"part\":1,\"parts\":1}", &request));
	assert_int_equal(request.count, 0);
}

static void takes_consoles(void **state)
{
	struct control_request request auto_control = {0};

	assert_true(parse("{\"op\":\"consoles\",\"ended\":[\"console.0123456789abcdef0123456789abcdef 1767225600\"]}",
			  &request));
	assert_int_equal(request.op, CONTROL_CONSOLES);
	assert_int_equal(request.ended_count, 1);
	assert_string_equal(request.ended[0].client_id, "console.0123456789abcdef0123456789abcdef");
	assert_int_equal(request.ended[0].until_s, 1767225600);
	assert_false(request.complete);
	control_done(&request);
	assert_true(parse("{\"op\":\"consoles\",\"ended\":[],\"complete\":true}", &request));
	assert_int_equal(request.ended_count, 0);
	assert_true(request.complete);
	control_done(&request);
	static const char *const wrong[] = {
		"{\"op\":\"consoles\"}",
		"{\"op\":\"consoles\",\"ended\":{}}",
		"{\"op\":\"consoles\",\"ended\":[7]}",
		"{\"op\":\"consoles\",\"ended\":[\"kiosk-7 1767225600\"]}",
		"{\"op\":\"consoles\",\"ended\":[\"console.0123456789abcdef0123456789abcdef\"]}",
		"{\"op\":\"consoles\",\"ended\":[\"console.0123456789abcdef0123456789abcdef -1\"]}",
		"{\"op\":\"consoles\",\"ended\":[\"console.0123456789abcdef0123456789abcdef 1x\"]}",
		"{\"op\":\"consoles\",\"ended\":[\"console.0123456789abcdef0123456789abcdef 176722560000\"]}",
		"{\"op\":\"consoles\",\"ended\":[],\"complete\":1}",
		"{\"op\":\"consoles\",\"ended\":[],\"device\":\"kiosk-7\"}",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_false(parse(wrong[i], &request));
		control_done(&request);
	}
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
		"{\"op\":\"revoke\",\"device\":\"a\",\"change\":-1}",
		"{\"op\":\"revoke\",\"device\":\"a\",\"change\":\"1\"}",
		"{\"op\":\"kick\"}",
		"{\"op\":\"kick\",\"serial\":\"1\"}",
		"{\"op\":\"list\"}",
		"{\"op\":\"list\",\"part\":1,\"parts\":1}",
		"{\"op\":\"list\",\"change\":1,\"part\":2,\"parts\":1}",
		"{\"op\":\"list\",\"change\":1,\"part\":0,\"parts\":1}",
		"{\"op\":\"list\",\"change\":1,\"part\":1,\"parts\":257}",
		"{\"op\":\"list\",\"change\":1,\"part\":1,\"parts\":1,\"revoke\":\"device a\"}",
		"{\"op\":\"list\",\"change\":1,\"part\":1,\"parts\":1,\"revoke\":[7]}",
		"{\"op\":\"list\",\"change\":1,\"part\":1,\"parts\":1,\"revoke\":[\"stale a\"]}",
		"{\"op\":\"list\",\"change\":1,\"part\":1,\"parts\":1,\"restore\":[\"device svc.x\"]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct control_request request auto_control = {0};

		if (parse(texts[i], &request))
			fail_msg("took %s", texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_revoke_and_restore),
		cmocka_unit_test(takes_kick),
		cmocka_unit_test(takes_lists),
		cmocka_unit_test(takes_consoles),
		cmocka_unit_test(refuses_everything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
