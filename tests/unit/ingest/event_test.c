#include "ingest/event.h"

#include "tests/unit/ingest/parsing.h"

static const struct event *event(void)
{
	return parsing.message.rows;
}

static void test_plain(void **state)
{
	accepts(&event_kind, "{\"type\":\"app.crashed\",\"epoch\":\"e\",\"seq\":3,\"ts\":9,\"app\":\"x\",\"code\":-1}");
	stamped(0, "e", 3, 9);
	assert_string_equal(event()->type, "app.crashed");
	assert_string_equal(event()->body, "{\"app\":\"x\",\"code\":-1}");
	assert_null(parsing.message.hello);
	accepts(&event_kind, "{\"type\":\"boot\"}");
	stamped(0, NULL, 0, RECEIVED_MS);
	assert_string_equal(event()->body, "{}");
}

static void test_types(void **state)
{
	static const char *const wrong[] = {
		"{}",
		"{\"type\":1}",
		"{\"type\":\"\"}",
		"{\"type\":\"Boot\"}",
		"{\"type\":\".boot\"}",
		"{\"type\":\"a b\"}",
		"{\"type\":\"a234567890123456789012345678901234567890123456789012345678901234x\"}",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuses(&event_kind, wrong[i], "type");
	refuses(&event_kind, "[]", "not a JSON object");
	refuses(&event_kind, "{\"type\":\"boot\",\"epoch\":\"e\"}", "seq is missing");
	accepts(&event_kind, "{\"type\":\"a23456789012345678901234567890123456789012345678901234567890-._4\"}");
}

static void test_hello(void **state)
{
	accepts(&event_kind, "{\"type\":\"hello\",\"ts\":5,\"epoch\":\"e\",\"oldest_seq\":41,\"next_seq\":55,"
			     "\"agent_version\":\"0.1.0\",\"interval_s\":30,\"fingerprint\":\"ab\"}");
	const struct hello *hello = parsing.message.hello;
	assert_non_null(hello);
	assert_string_equal(hello->epoch, "e");
	assert_int_equal(hello->oldest_seq, 41);
	assert_int_equal(hello->interval_s, 30);
	assert_string_equal(hello->agent_version, "0.1.0");
	assert_false(parsing.message.stamps->numbered);
	assert_non_null(strstr(event()->body, "\"fingerprint\":\"ab\""));

	accepts(&event_kind, "{\"type\":\"hello\"}");
	assert_null(parsing.message.hello->epoch);
	refuses(&event_kind, "{\"type\":\"hello\",\"oldest_seq\":4}", "oldest_seq");
	refuses(&event_kind, "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":0}", "oldest_seq");
	refuses(&event_kind, "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":9223372036854775807}", "oldest_seq");
	refuses(&event_kind, "{\"type\":\"hello\",\"interval_s\":0}", "interval_s");
	refuses(&event_kind, "{\"type\":\"hello\",\"interval_s\":86401}", "interval_s");
	refuses(&event_kind, "{\"type\":\"hello\",\"agent_version\":7}", "agent_version");
}

static void test_hello_tells_presence(void **state)
{
	struct device_summary device = {0};
	accepts(&event_kind, "{\"type\":\"hello\",\"interval_s\":30}");
	event_kind.tell(&parsing.message, 0, &device);
	assert_string_equal(device.presence, "online");
	assert_string_equal(device.presence_why, "hello");
	assert_int_equal(device.interval_s, 30);

	device = (struct device_summary){0};
	accepts(&event_kind, "{\"type\":\"boot\"}");
	event_kind.tell(&parsing.message, 0, &device);
	assert_null(device.presence);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_tells_presence),
	};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
