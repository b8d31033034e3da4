#include "tests/unit/ingest/parsing.h"

static const struct reading *reading(size_t row)
{
	return &((const struct reading *)parsing.message.rows)[row];
}

static void test_one(void **state)
{
	accepts(&telemetry_kind, "{\"epoch\":\"e-1\",\"seq\":7,\"ts\":1000,\"battery_pct\":50.5,\"charging\":true,"
				 "\"mem_total\":9007199254740993,\"network_type\":\"wifi\",\"x\":[1,{\"y\":null}]}");
	assert_int_equal(parsing.message.count, 1);
	stamped(0, "e-1", 7, 1000);
	assert_int_equal(reading(0)->present, 1U << 0 | 1U << 1 | 1U << 4 | 1U << 9);
	assert_true(reading(0)->values[0].real == 50.5);
	assert_true(reading(0)->values[1].boolean);
	assert_int_equal(reading(0)->values[4].integer, 9007199254740993);
	assert_string_equal(reading(0)->values[9].text, "wifi");
	assert_string_equal(reading(0)->custom, "{\"x\":[1,{\"y\":null}]}");
}

static void test_array(void **state)
{
	accepts(&telemetry_kind, "[{\"epoch\":\"a\",\"seq\":1,\"ts\":1},{\"epoch\":\"b\",\"seq\":9,"
				 "\"ts\":2},{\"load1\":1}]");
	assert_int_equal(parsing.message.count, 3);
	stamped(0, "a", 1, 1);
	stamped(1, "b", 9, 2);
	stamped(2, NULL, 0, RECEIVED_MS);
	assert_null(reading(0)->custom);
}

static bool same_values(const struct reading *a, const struct reading *b)
{
	for (int i = 0; i < READING_FIELDS; i++) {
		if (!(a->present & 1U << i))
			continue;
		bool same = i == 1   ? a->values[i].boolean == b->values[i].boolean
			    : i == 9 ? strcmp(a->values[i].text, b->values[i].text) == 0
				     : memcmp(&a->values[i], &b->values[i], sizeof(double)) == 0; // -0 is not 0
		if (!same)
			return false;
	}
	return a->present == b->present;
}

// The same text, once the thorough way, for the space before it, and once the fast way: both find the same.
static bool agree(const char *text)
{
	static struct arena kept;
	if (!kept.keep_bytes)
		arena_init(&kept, 1 << 20);
	bool ok = parse_bytes(&telemetry_kind, text, strlen(text), "", false);
	struct arena other = parsing.arena;
	parsing.arena = kept; // what the first found stays
	kept = other;
	const struct message first = parsing.message;
	if (parse_bytes(&telemetry_kind, text + 1, strlen(text + 1), "", false) != ok)
		fail_msg("%s: refused one way only", text);
	if (ok) {
		stamped(0, first.stamps->epoch, first.stamps->seq, first.stamps->ts_ms);
		if (!same_values(first.rows, reading(0)))
			fail_msg("%s: the values differ", text);
		if (first.rows && ((const struct reading *)first.rows)->custom)
			assert_string_equal(((const struct reading *)first.rows)->custom, reading(0)->custom);
	}
	arena_done(&kept);
	return ok;
}

static void test_plain_and_thorough_agree(void **state)
{
	static const char *const values[] = {
		"0", "-0", "1", "-1", "01", "-01", "1.0", "-0.0", "0.1", "99.9", "100.1", "1.", ".5", "1e1", "1.5E-1",
		"+1", "-200", "50.000000000001", "33.33333333333333", "33.3333333333333333333", "999999999999999",
		"9999999999999999", "9007199254740993", "999999999999999999", "9223372036854775807",
		"9223372036854775808", "true", "false", "null", "tru", "truex", "\"\"", "\"wifi\"", "\"a\\u0062\"",
		"\"\xc3\xa4\"", "\"\xff\"", "\"\x01\"", "\"more than thirty-six bytes are no epoch\"", "[1]", "{}", ""};
	static const char *const names[] = {"battery_pct", "charging", "load1", "mem_total", "network_type", "rssi_dbm",
					    "temperature_c", "x", "batter", "battery_pct2", "epoch", "seq", "ts"};
	static const struct form {
		const char *before, *after;
	} forms[] = {
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":5,", "}"},
		{"{\"epoch\":\"e\",", ",\"seq\":1}"},
		{"{", ", \"epoch\" : \"e\", \"seq\" :1,\"ts\": 5 }"},
		{"{", ",\"seq\":1,\"ts\":5}"},
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":5,", ",\"load1\":2}"},
		{"{\"epoch\":\"e\",\"seq\":1,", ",\"ts\":0}"},
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":5,", "} "},
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":5,", "}}"},
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":5,", ""},
		{"{\"epoch\":\"e\",\"seq\":1,\"ts\":5,", ",}"},
	};
	size_t accepted = 0;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
			for (size_t form = 0; form < sizeof(forms) / sizeof(forms[0]); form++) {
				char text[256];
				(void)snprintf(text, sizeof(text), " %s\"%s\":%s%s", forms[form].before, names[k],
					       values[i], forms[form].after);
				accepted += agree(text);
			}
		}
	}
	assert_true(accepted > 300);
}

static void array_of(size_t count, char *out)
{
	(void)strcpy(out, "[");
	for (size_t i = 0; i < count; i++)
		(void)strcat(out, i ? ",{}" : "{}");
	(void)strcat(out, "]");
}

static void test_array_sizes(void **state)
{
	char text[1024];
	array_of(100, text);
	accepts(&telemetry_kind, text);
	assert_int_equal(parsing.message.count, 100);
	array_of(101, text);
	refuses(&telemetry_kind, text, "101 readings");
	refuses(&telemetry_kind, "[]", "0 readings");
	refuses(&telemetry_kind, "[1]", "not a JSON object");
	refuses(&telemetry_kind, "[[{}]]", "not a JSON object");
	refuses(&telemetry_kind, "7", "not a JSON object");
}

static void test_refused_keeps_its_stamps(void **state)
{
	refuses(&telemetry_kind, "[{\"epoch\":\"a\",\"seq\":1,\"ts\":1},{\"epoch\":\"a\",\"seq\":2,\"ts\":2,"
				 "\"cpu_pct\":-1},"
				 "{\"epoch\":\"a\",\"seq\":3,\"ts\":3}]",
		"cpu_pct");
	assert_int_equal(parsing.message.count, 3);
	stamped(2, "a", 3, 3);
	// The first that is wrong is named; what can be read of the others is.
	refuses(&telemetry_kind, "[{\"epoch\":\"a\",\"seq\":1},{\"epoch\":\"a\",\"seq\":2,\"ts\":-2}]", "ts is "
				 "missing");
	assert_int_equal(parsing.message.count, 2);
	assert_int_equal(parsing.message.stamps[1].seq, 2);
	assert_true(parsing.message.stamps[1].numbered);
}

static void test_foreign_bytes(void **state)
{
	static const char *const texts[] = {"", " ", "{", "{\"a\":1", "nonsense", "{}{}", "{\"a\":NaN}",
					    "{\"a\":1,"
					    "\"a\":2}", "{\"a\":1e999}", "{\"a\":\"\xff\"}", "{\"a\":\"\\u0000\"}"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		refuses(&telemetry_kind, texts[i], "not valid JSON");
	assert_false(parse_bytes(&telemetry_kind, "{}\0", 3, "", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_plain_and_thorough_agree),
		cmocka_unit_test(test_array),
		cmocka_unit_test(test_array_sizes),
		cmocka_unit_test(test_refused_keeps_its_stamps),
		cmocka_unit_test(test_foreign_bytes),
	};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
