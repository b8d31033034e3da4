#include "ingest/event.h"

#include "tests/unit/ingest/parsing.h"

#define F16 "0123456789abcdef"

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
			     "\"agent_version\":\"0.1.0\",\"interval_s\":30,\"fingerprint\":\"" F16 F16 F16 F16 "\"}");
	const struct hello *hello = parsing.message.hello;
	assert_non_null(hello);
	assert_string_equal(hello->epoch, "e");
	assert_int_equal(hello->oldest_seq, 41);
	assert_int_equal(hello->interval_s, 30);
	assert_string_equal(hello->agent_version, "0.1.0");
	assert_false(parsing.message.stamps->numbered);
	assert_string_equal(hello->fingerprint, F16 F16 F16 F16);
	assert_non_null(strstr(event()->body, "\"fingerprint\":\"" F16));
	refuses(&event_kind, "{\"type\":\"hello\",\"fingerprint\":\"" F16 F16 F16 "\"}", "fingerprint");
	refuses(&event_kind, "{\"type\":\"hello\",\"fingerprint\":\"" F16 F16 F16 "0123456789ABCDEF\"}", "fingerprint");
	refuses(&event_kind, "{\"type\":\"hello\",\"fingerprint\":7}", "fingerprint");

	accepts(&event_kind, "{\"type\":\"hello\"}");
	assert_null(parsing.message.hello->epoch);
	refuses(&event_kind, "{\"type\":\"hello\",\"oldest_seq\":4}", "oldest_seq");
	refuses(&event_kind, "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":0}", "oldest_seq");
	refuses(&event_kind, "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":9223372036854775807}", "oldest_seq");
	refuses(&event_kind, "{\"type\":\"hello\",\"interval_s\":0}", "interval_s");
	refuses(&event_kind, "{\"type\":\"hello\",\"interval_s\":86401}", "interval_s");
	refuses(&event_kind, "{\"type\":\"hello\",\"agent_version\":7}", "agent_version");
}

static void test_hello_tells_where_a_push_reaches_it(void **state)
{
	accepts(&event_kind, "{\"type\":\"hello\",\"push_token\":\"dQw4:APA91b-x_Y\",\"boot_id\":\"b\"}");
	assert_string_equal(parsing.message.hello->push_token, "dQw4:APA91b-x_Y");
	assert_string_equal(event()->body, "{\"boot_id\":\"b\"}"); // shown to nobody
	accepts(&event_kind, "{\"type\":\"hello\",\"push_token\":\"\"}");
	assert_string_equal(parsing.message.hello->push_token, "");
	accepts(&event_kind, "{\"type\":\"hello\"}");
	assert_null(parsing.message.hello->push_token);
	refuses(&event_kind, "{\"type\":\"hello\",\"push_token\":7}", "push_token");
	refuses(&event_kind, "{\"type\":\"hello\",\"push_token\":\"a\\\"b\"}", "push_token");
}

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_hello_tells_the_certificate_in_use(void **state)
{
	struct device_summary device = {0};
	accepts(&event_kind, "{\"type\":\"hello\",\"certificate\":\"004a0b\",\"trust\":\"" SHA256 "\"}");
	event_kind.tell(&parsing.message, 0, &device);
	assert_string_equal(device.certificate, "4a0b");
	assert_string_equal(device.trust, SHA256);
	accepts(&event_kind, "{\"type\":\"hello\"}"); // tells nothing new
	event_kind.tell(&parsing.message, 0, &device);
	assert_string_equal(device.certificate, "4a0b");

	static const char *const wrong[] = {"7", "\"\"", "\"4A\"", "\"xyz\"",
					    "\"12345678901234567890123456789012345678901\""};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[128];
		(void)snprintf(text, sizeof(text), "{\"type\":\"hello\",\"certificate\":%s}", wrong[i]);
		refuses(&event_kind, text, "certificate");
		(void)snprintf(text, sizeof(text), "{\"type\":\"hello\",\"trust\":%s}", wrong[i]);
		refuses(&event_kind, text, "trust");
	}
}

static void test_hello_tells_presence(void **state)
{
	struct device_summary device = {0};
	accepts(&event_kind, "{\"type\":\"hello\",\"interval_s\":30}");
	event_kind.tell(&parsing.message, 0, &device);
	assert_string_equal(device.online.why, "hello");
	assert_true(device.online.firm);
	assert_int_equal(device.interval_s, 30);

	device = (struct device_summary){0};
	accepts(&event_kind, "{\"type\":\"boot\"}");
	event_kind.tell(&parsing.message, 0, &device);
	assert_null(device.online.why);
}

static void test_hello_shows_the_latest_reading(void **state)
{
	struct device_summary device = {0};
	accepts(&event_kind,
		"{\"type\":\"hello\",\"epoch\":\"e\",\"latest\":{\"ts\":1767225599993,\"load1\":0.5,\"x\":1}}");
	assert_string_equal(event()->body, "{}"); // the reading itself comes with its seq
	event_kind.tell(&parsing.message, 0, &device);
	assert_true(device.has_reading);
	assert_int_equal(device.reading_ms, RECEIVED_MS - 7);
	assert_string_equal(device.reading.custom, "{\"x\":1}");

	device = (struct device_summary){0};
	accepts(&event_kind, "{\"type\":\"hello\",\"latest\":{\"ts\":253402300799000,\"load1\":0.5}}");
	event_kind.tell(&parsing.message, 0, &device);
	assert_int_equal(device.reading_ms, RECEIVED_MS);

	refuses(&event_kind, "{\"type\":\"hello\",\"latest\":7}", "latest");
	refuses(&event_kind, "{\"type\":\"hello\",\"latest\":{\"epoch\":\"e\",\"seq\":1,\"ts\":7}}", "latest");
	refuses(&event_kind, "{\"type\":\"hello\",\"latest\":{\"load1\":-1}}", "latest");
	accepts(&event_kind, "{\"type\":\"boot\",\"latest\":{\"seq\":1}}"); // nothing special elsewhere
	assert_string_equal(event()->body, "{\"latest\":{\"seq\":1}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_tells_where_a_push_reaches_it),
		cmocka_unit_test(test_hello_tells_the_certificate_in_use),
		cmocka_unit_test(test_hello_tells_presence),
		cmocka_unit_test(test_hello_shows_the_latest_reading),
	};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
