#include "dashboard/export_format.h"

#include "tests/unit/scratch.h"

static void check_csv(const char *value, enum export_type type, const char *expected)
{
	auto_buf struct buf out;
	buf_init(&out, 1024);
	assert_true(export_add_csv(&out, value, type));
	assert_string_equal(buf_str(&out), expected);
}

static void test_csv_follows_rfc_4180(void **state)
{
	check_csv("plain", EXPORT_TEXT, "plain");
	check_csv("a,b", EXPORT_TEXT, "\"a,b\"");
	check_csv("say \"hi\"", EXPORT_TEXT, "\"say \"\"hi\"\"\"");
	check_csv("\"", EXPORT_TEXT, "\"\"\"\"");
	check_csv("two\r\nlines", EXPORT_TEXT, "\"two\r\nlines\"");
	check_csv(" edge", EXPORT_TEXT, "\" edge\"");
	check_csv("", EXPORT_TEXT, "\"\"");
	check_csv(NULL, EXPORT_TEXT, "");
	check_csv("t", EXPORT_BOOL, "true");
	check_csv("f", EXPORT_BOOL, "false");
	check_csv("{\"a\": \"b\"}", EXPORT_DATA, "\"{\"\"a\"\": \"\"b\"\"}\"");
}

static void test_csv_defuses_formulas(void **state)
{
	check_csv("=HYPERLINK(\"x\")", EXPORT_TEXT, "\"'=HYPERLINK(\"\"x\"\")\"");
	check_csv("+1", EXPORT_TEXT, "\"'+1\"");
	check_csv("-1", EXPORT_TEXT, "\"'-1\"");
	check_csv("@SUM(A1)", EXPORT_TEXT, "\"'@SUM(A1)\"");
	check_csv("\t=1", EXPORT_TEXT, "\"'\t'=1\"");
	check_csv("\r=1", EXPORT_TEXT, "\"'\r'=1\"");
	check_csv("\n=1", EXPORT_TEXT, "\"'\n'=1\"");
	check_csv("\tplain", EXPORT_TEXT, "\"'\tplain\"");
	check_csv("  =1", EXPORT_TEXT, "\"  '=1\"");
	check_csv("\xef\xbc\x9d"
		  "1",
		  EXPORT_TEXT,
		  "\"'\xef\xbc\x9d"
		  "1\"");
	check_csv("a=1", EXPORT_TEXT, "a=1");
	check_csv("-70", EXPORT_NUMBER, "-70"); // a number stays one
}

// As where lists are written with semicolons: quotation marks within a line mean nothing there.
static void test_csv_defuses_what_a_semicolon_would_begin(void **state)
{
	check_csv("a;b", EXPORT_TEXT, "\"a;b\"");
	check_csv("a\tb", EXPORT_TEXT, "\"a\tb\"");
	check_csv("a;=1", EXPORT_TEXT, "\"a;'=1\"");
	check_csv("a; =1", EXPORT_TEXT, "\"a; '=1\"");
	check_csv("a\t+1", EXPORT_TEXT, "\"a\t'+1\"");
	check_csv("a\r\n@x", EXPORT_TEXT, "\"a\r\n'@x\"");
	check_csv("a;;-1", EXPORT_TEXT, "\"a;;'-1\"");
	check_csv("a; b - c, =d", EXPORT_TEXT, "\"a; b - c, =d\"");
	check_csv("{\"a\": \"x; =1;-2\"}", EXPORT_DATA, "\"{\"\"a\"\": \"\"x; \\u003d1;\\u002d2\"\"}\"");
	check_csv("-7", EXPORT_DATA, "-7");
}

static void check_json(const char *value, enum export_type type, const char *expected)
{
	auto_buf struct buf out;
	buf_init(&out, 1024);
	assert_true(export_add_json(&out, value, type));
	assert_string_equal(buf_str(&out), expected);
}

static void test_json_keeps_types(void **state)
{
	check_json("a\"b\n", EXPORT_TEXT, "\"a\\\"b\\n\"");
	check_json(NULL, EXPORT_TEXT, "null");
	check_json("-7.5", EXPORT_NUMBER, "-7.5");
	check_json("NaN", EXPORT_NUMBER, "null");
	check_json("-Infinity", EXPORT_NUMBER, "null");
	check_json("t", EXPORT_BOOL, "true");
	check_json("{\"a\": 1}", EXPORT_DATA, "{\"a\": 1}");
	check_json("2026-01-01T00:00:00.000Z", EXPORT_TIME, "\"2026-01-01T00:00:00.000Z\"");
}

static void check_whole(enum export_format format, size_t rows, const char *expected)
{
	static const char *const columns[] = {"device", "n"};
	auto_buf struct buf out;
	buf_init(&out, 1024);
	assert_true(export_add_head(&out, format, columns, 2));
	for (size_t i = 0; i < rows; i++) {
		assert_true(export_begin_row(&out, format, i == 0));
		assert_true(export_add_cell(&out, format, 0, columns[0], "kiosk", EXPORT_TEXT));
		assert_true(export_add_cell(&out, format, 1, columns[1], "7", EXPORT_NUMBER));
		assert_true(export_end_row(&out, format));
	}
	assert_true(export_add_tail(&out, format, rows > 0));
	assert_string_equal(buf_str(&out), expected);
}

static void test_files_are_whole(void **state)
{
	check_whole(EXPORT_CSV, 0, "device,n\r\n");
	check_whole(EXPORT_CSV, 2, "device,n\r\nkiosk,7\r\nkiosk,7\r\n");
	check_whole(EXPORT_JSON, 0, "[]\n");
	check_whole(EXPORT_JSON, 2, "[\n{\"device\":\"kiosk\",\"n\":7},\n{\"device\":\"kiosk\",\"n\":7}\n]\n");
	check_whole(EXPORT_NDJSON, 0, "");
	check_whole(EXPORT_NDJSON, 2, "{\"device\":\"kiosk\",\"n\":7}\n{\"device\":\"kiosk\",\"n\":7}\n");
}

static void test_names(void **state)
{
	enum export_format format = EXPORT_CSV;
	assert_true(export_format_parse("ndjson", &format));
	assert_int_equal(format, EXPORT_NDJSON);
	assert_false(export_format_parse("xml", &format));
	assert_string_equal(export_format_name(EXPORT_JSON), "json");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_csv_follows_rfc_4180),
		cmocka_unit_test(test_csv_defuses_formulas),
		cmocka_unit_test(test_csv_defuses_what_a_semicolon_would_begin),
		cmocka_unit_test(test_json_keeps_types),
		cmocka_unit_test(test_files_are_whole),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
