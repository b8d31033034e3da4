#include "common/result_text.h"

#include "tests/unit/scratch.h"

static void assert_text(const char *message, const char *expected)
{
	struct error error = {0};
	struct json *json auto_json = json_parse(message, strlen(message), &error);
	struct buf out auto_buf = {0};
	assert_non_null(json);
	buf_init(&out, RESULT_TEXT_MAX_BYTES);
	assert_int_equal(result_text("kiosk-7", json, &out), expected != NULL);
	if (expected)
		assert_string_equal(buf_str(&out), expected);
}

static void leaves_out_what_changes_when_it_is_sent_again(void **state)
{
	assert_text(
		"{\"epoch\":\"e\",\"seq\":4,\"ts\":1,\"command\":\"c\",\"state\":\"accepted\",\"sig\":\"x\"}",
		"{\"typ\":\"muster-result\",\"device\":\"kiosk-7\",\"ts\":1,\"command\":\"c\",\"state\":\"accepted\"}");
	assert_text(
		"{\"ts\":1,\"command\":\"c\",\"state\":\"accepted\"}",
		"{\"typ\":\"muster-result\",\"device\":\"kiosk-7\",\"ts\":1,\"command\":\"c\",\"state\":\"accepted\"}");
}

static void keeps_order_numbers_and_texts(void **state)
{
	assert_text("{ \"state\" : \"succeeded\", \"output\": {\"b\": 0.5, \"a\": [1, null], \"t\": \"Zo\\u00eb "
		    "\\\"/\\n\"} }",
		    "{\"typ\":\"muster-result\",\"device\":\"kiosk-7\",\"state\":\"succeeded\",\"output\":{\"b\":0.5,"
		    "\"a\":[1,null],"
		    "\"t\":\"Zo\u00eb \\\"/\\n\"}}");
}

// What it says of itself must not stand beside what the message says.
static void refuses_members_of_its_own(void **state)
{
	assert_text("{\"typ\":\"x\",\"state\":\"succeeded\"}", NULL);
	assert_text("{\"device\":\"kiosk-8\",\"state\":\"succeeded\"}", NULL);
	assert_text("[]", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_out_what_changes_when_it_is_sent_again),
		cmocka_unit_test(keeps_order_numbers_and_texts),
		cmocka_unit_test(refuses_members_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
