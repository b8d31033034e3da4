#include "ingest/message.h"

#include "tests/unit/scratch.h"

#define RECEIVED_MS 1767225600000

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	arena_done(&arena);
	return 0;
}

static bool stamp(const char *text, bool alone_ok, struct stamp *out)
{
	struct error error = {0};
	struct json *json auto_json = json_parse(text, strlen(text), &error);
	if (!json)
		fail_msg("%s: %s", text, error.what);
	return stamp_parse(json, RECEIVED_MS, alone_ok, &arena, out, &error);
}

static void test_stamps(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		bool numbered;
		int64_t ts_ms;
	} cases[] = {
		{"{}", true, false, RECEIVED_MS},
		{"{\"ts\":0}", true, false, 0},
		{"{\"ts\":\"1970-01-01T01:00:00.5+01:00\"}", true, false, 500},
		{"{\"ts\":253402300799999}", true, false, 253402300799999},
		{"{\"ts\":253402300800000}", false, false, 0},
		{"{\"ts\":-1}", false, false, 0},
		{"{\"ts\":\"1969-12-31T23:59:59Z\"}", false, false, 0},
		{"{\"ts\":\"yesterday\"}", false, false, 0},
		{"{\"ts\":1.5}", false, false, 0},
		{"{\"ts\":null}", false, false, 0},
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":5}", true, true, 5},
		{"{\"epoch\":\"e\",\"seq\":9007199254740991,\"ts\":5}", true, true, 5},
		{"{\"epoch\":\"e\",\"seq\":9007199254740992,\"ts\":5}", false, false, 0},
		{"{\"epoch\":\"e\",\"seq\":0,\"ts\":5}", false, false, 0},
		{"{\"epoch\":\"e\",\"seq\":\"1\",\"ts\":5}", false, false, 0},
		{"{\"epoch\":\"e\",\"seq\":1}", false, true, 0},
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":-1}", false, true, 0},
		{"{\"epoch\":\"e\",\"ts\":5}", false, false, 0},
		{"{\"seq\":1,\"ts\":5}", false, false, 0},
		{"{\"epoch\":\"\",\"seq\":1,\"ts\":5}", false, false, 0},
		{"{\"epoch\":\"a b\",\"seq\":1,\"ts\":5}", false, false, 0},
		{"{\"epoch\":\"012345678901234567890123456789012345\",\"seq\":1,\"ts\":5}", true, true, 5},
		{"{\"epoch\":\"0123456789012345678901234567890123456\",\"seq\":1,\"ts\":5}", false, false, 0},
		{"{\"epoch\":7,\"seq\":1,\"ts\":5}", false, false, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stamp out;
		if (stamp(cases[i].text, false, &out) != cases[i].ok)
			fail_msg("%s", cases[i].text);
		if (out.numbered != cases[i].numbered || (cases[i].ok && out.ts_ms != cases[i].ts_ms))
			fail_msg("%s: numbered %d, ts %lld", cases[i].text, out.numbered, (long long)out.ts_ms);
	}
}

static void test_epoch_alone(void **state)
{
	struct stamp out;
	assert_true(stamp("{\"epoch\":\"e\"}", true, &out));
	assert_string_equal(out.epoch, "e");
	assert_false(out.numbered);
	assert_false(stamp("{\"seq\":1}", true, &out));
}

#define NOW_MS 1767225600000
#define DAY_MS INT64_C(86400000)

static void test_measured(void **state)
{
	static const struct {
		int64_t ts_ms, age_ms, measured_ms;
	} cases[] = {
		{NOW_MS - 5000, 3000, NOW_MS - 5000},
		{NOW_MS - 30 * DAY_MS, 0, NOW_MS - 30 * DAY_MS},
		{NOW_MS - 30 * DAY_MS - 1, 0, NOW_MS},
		{NOW_MS + 300000, 0, NOW_MS + 300000},
		{NOW_MS + 300001, 7000, NOW_MS - 7000},
		{0, 0, NOW_MS},           // 1970
		{86400000, 4000, NOW_MS - 4000},
		{4070908800000, 60000, NOW_MS - 60000}, // 2099
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stamp stamp = {.ts_ms = cases[i].ts_ms};
		struct message message = {
			.received_ms = NOW_MS, .age_ms = cases[i].age_ms, .stamps = &stamp, .count = 1};
		message_measure(&message);
		assert_int_equal(stamp.measured_ms, cases[i].measured_ms);
		assert_int_equal(stamp.ts_ms, cases[i].ts_ms);
	}
}

static void test_measured_keeps_the_spacing(void **state)
{
	// Counted from 1970, and then the clock was set.
	struct stamp stamps[] = {{.ts_ms = 1000}, {.ts_ms = 31000}, {.ts_ms = 61000}, {.ts_ms = NOW_MS - 2000}};
	struct message message = {.received_ms = NOW_MS, .age_ms = 2000, .stamps = stamps, .count = 4};
	message_measure(&message);
	assert_int_equal(stamps[0].measured_ms, NOW_MS - 62000);
	assert_int_equal(stamps[1].measured_ms, NOW_MS - 32000);
	assert_int_equal(stamps[2].measured_ms, NOW_MS - 2000);
	assert_int_equal(stamps[3].measured_ms, NOW_MS - 2000);
}

static void test_numbers(void **state)
{
	int64_t value = 0;
	assert_true(number_parse("0", &value));
	assert_int_equal(value, 0);
	assert_true(number_parse("999999999999999999", &value));
	assert_int_equal(value, 999999999999999999);
	static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "1e3", "1.0", "1000000000000000000"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (number_parse(wrong[i], &value))
			fail_msg("%s", wrong[i]);
}

static void test_refusal_is_printable(void **state)
{
	struct message message = {0};
	message_refuse(&message, &arena, "caf\xc3\xa9\n\x7f.");
	assert_string_equal(message.refusal, "caf????.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_epoch_alone),
		cmocka_unit_test(test_measured),
		cmocka_unit_test(test_measured_keeps_the_spacing),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_refusal_is_printable),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
