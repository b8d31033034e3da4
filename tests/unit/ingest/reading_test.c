#include "ingest/reading.h"

#include "tests/unit/scratch.h"

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

static bool parse(const char *text, struct reading *out, struct error *error)
{
	struct json *json auto_json = json_parse(text, strlen(text), error);
	*out = (struct reading){0};
	if (!json)
		fail_msg("%s: %s", text, error->what);
	return reading_parse(json, &arena, out, error);
}

static void test_ranges(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{"{\"battery_pct\":0}", true},
		{"{\"battery_pct\":100}", true},
		{"{\"battery_pct\":100.1}", false},
		{"{\"battery_pct\":-0.1}", false},
		{"{\"battery_pct\":\"50\"}", false},
		{"{\"battery_pct\":null}", false},
		{"{\"charging\":1}", false},
		{"{\"load1\":3.4e38}", true},
		{"{\"load1\":3.5e38}", false},
		{"{\"mem_total\":9223372036854775807}", true},
		{"{\"mem_total\":9223372036854775808}", false},
		{"{\"mem_total\":1.5}", false},
		{"{\"mem_total\":-1}", false},
		{"{\"uptime_s\":1e3}", true},
		{"{\"network_type\":\"12345678901234567890123456789012\"}", true},
		{"{\"network_type\":\"123456789012345678901234567890123\"}", false},
		{"{\"rssi_dbm\":-200}", true},
		{"{\"rssi_dbm\":51}", false},
		{"{\"temperature_c\":-273.15}", true},
		{"{\"temperature_c\":-273.16}", false},
		{"{\"\":1}", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reading reading;
		struct error error = {0};
		if (parse(cases[i].text, &reading, &error) != cases[i].ok)
			fail_msg("%s: %s", cases[i].text, error.what);
	}
}

static void custom_string(size_t name_bytes, size_t value_bytes, char *out)
{
	char *at = out + sprintf(out, "{\"");
	memset(at, 'n', name_bytes);
	at += name_bytes;
	at += sprintf(at, "\":\"");
	memset(at, 'v', value_bytes);
	(void)strcpy(at + value_bytes, "\"}");
}

static void custom_list(size_t members, char *out)
{
	char *at = out + sprintf(out, "{");
	for (size_t i = 0; i < members; i++)
		at += sprintf(at, "%s\"m%zu\":%zu", i ? "," : "", i, i);
	(void)strcpy(at, "}");
}

static void test_custom_sizes(void **state)
{
	char text[8192];
	struct reading reading;
	struct error error = {0};
	custom_string(64, 1024, text);
	assert_true(parse(text, &reading, &error));
	assert_string_equal(reading.custom, text);
	custom_string(65, 1, text);
	assert_false(parse(text, &reading, &error));
	custom_string(1, 1025, text);
	assert_false(parse(text, &reading, &error));
	custom_list(200, text);
	assert_true(parse(text, &reading, &error));
	custom_list(201, text);
	assert_false(parse(text, &reading, &error));

	(void)strcpy(text, "{\"x\":[");
	for (int i = 0; i < 2100; i++)
		(void)strcat(text, i ? ",1" : "1");
	(void)strcat(text, "]}");
	assert_false(parse(text, &reading, &error));
	assert_non_null(strstr(error.what, "metric x"));
}

static void test_merge(void **state)
{
	struct reading old;
	struct reading newer;
	struct error error = {0};
	assert_true(parse("{\"battery_pct\":1,\"load1\":2,\"a\":1}", &old, &error));
	assert_true(parse("{\"battery_pct\":9,\"charging\":false}", &newer, &error));
	reading_merge(&old, &newer);
	assert_int_equal(old.present, 1U << 0 | 1U << 1 | 1U << 3);
	assert_true(old.values[0].real == 9);
	assert_true(old.values[3].real == 2);
	assert_string_equal(old.custom, "{\"a\":1}");
	assert_true(parse("{\"b\":2}", &newer, &error));
	reading_merge(&old, &newer);
	assert_string_equal(old.custom, "{\"b\":2}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_custom_sizes),
		cmocka_unit_test(test_merge),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
