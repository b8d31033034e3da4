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
		cmocka_unit_test(test_refusal_is_printable),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
