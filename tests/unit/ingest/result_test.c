#include "ingest/result.h"

#include "common/limits.h"
#include "tests/unit/ingest/parsing.h"

static void test_states(void **state)
{
	static const char *const states[] = {"accepted", "running", "succeeded",
					      "failed",   "rejected", "cancelled"};
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text),
			       "{\"epoch\":\"e\",\"seq\":4,\"ts\":1,\"command\":\"c\",\"state\":\"%s\","
			       "\"reason\":\"r\"}",
			       states[i]);
		accepts(&result_kind, text);
		const struct result *result = parsing.message.rows;
		stamped(0, "e", 4, 1);
		assert_string_equal(result->command, "c");
		assert_string_equal(result->state, states[i]);
		assert_string_equal(result->body, "{\"reason\":\"r\"}");
	}
	refuses(&result_kind, "{\"command\":\"c\",\"state\":\"sent\"}", "state");
	refuses(&result_kind, "{\"command\":\"c\"}", "state");
}

static void test_command_and_output(void **state)
{
	refuses(&result_kind, "{\"state\":\"failed\"}", "command");
	refuses(&result_kind, "{\"command\":\"\",\"state\":\"failed\"}", "command");
	refuses(&result_kind, "{\"command\":1,\"state\":\"failed\"}", "command");
	refuses(&result_kind, "{\"command\":\"c\",\"state\":\"failed\",\"output\":[]}", "output");
	accepts(&result_kind, "{\"command\":\"c\",\"state\":\"succeeded\",\"output\":{\"pong\":true}}");
	assert_string_equal(((const struct result *)parsing.message.rows)->body, "{\"output\":{\"pong\":true}}");

	static char text[3 * COMMAND_RESULT_MAX_BYTES];
	char *at = text + sprintf(text, "{\"command\":\"c\",\"state\":\"succeeded\",\"output\":{\"x\":\"");
	memset(at, 'x', (size_t)2 * COMMAND_RESULT_MAX_BYTES);
	(void)strcpy(at + (size_t)2 * COMMAND_RESULT_MAX_BYTES, "\"}}");
	refuses(&result_kind, text, "output is larger");
}

// What was signed is kept as it was said, for a database does not give JSON back so.
static void test_signed(void **state)
{
	accepts(&result_kind, "{\"epoch\":\"e\",\"seq\":4,\"ts\":1,\"command\":\"c\",\"state\":\"succeeded\","
			      "\"output\":{\"z\":1, \"a\":\"\\u00eb\"},\"sig\":\"c2ln\"}");
	const struct result *result = parsing.message.rows;
	assert_string_equal(result->signed_text,
			    "{\"typ\":\"muster-result\",\"device\":\"kiosk-7\",\"ts\":1,\"command\":\"c\","
			    "\"state\":\"succeeded\",\"output\":{\"z\":1,\"a\":\"\xc3\xab\"}}");
	assert_non_null(strstr(result->body, "\"sig\":\"c2ln\""));
	accepts(&result_kind, "{\"command\":\"c\",\"state\":\"accepted\"}");
	assert_null(((const struct result *)parsing.message.rows)->signed_text);
	refuses(&result_kind, "{\"command\":\"c\",\"state\":\"accepted\",\"sig\":1}", "sig is not");
	refuses(&result_kind, "{\"command\":\"c\",\"state\":\"accepted\",\"sig\":\"\"}", "sig is not");
	refuses(&result_kind, "{\"command\":\"c\",\"state\":\"accepted\",\"device\":\"x\",\"sig\":\"c2ln\"}",
		"typ or device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_command_and_output),
		cmocka_unit_test(test_signed),
	};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
