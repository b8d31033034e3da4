#include "dashboard/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void integers_are_strict(void **state)
{
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1x", "0x10", "1.5", "--1", "9223372036854775808"};
	int64_t value = 7;

	assert_true(api_parse_int("0", &value));
	assert_int_equal(value, 0);
	assert_true(api_parse_int("-9223372036854775808", &value));
	assert_true(value == INT64_MIN);
	assert_true(api_parse_int("9223372036854775807", &value));
	assert_true(value == INT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		value = 7;
		assert_false(api_parse_int(bad[i], &value));
		assert_int_equal(value, 7);
	}
}

static bool split(const char *text, char **parts, size_t count)
{
	static char cursor[API_CURSOR_MAX];

	(void)snprintf(cursor, sizeof(cursor), "%s", text);
	return api_split_cursor(cursor, parts, count);
}

static void cursors_are_split_whole_or_not(void **state)
{
	char *parts[4];

	assert_true(split("1767225600000000.kiosk-7.0f8c.42", parts, 4));
	assert_string_equal(parts[0], "1767225600000000");
	assert_string_equal(parts[1], "kiosk-7");
	assert_string_equal(parts[3], "42");
	assert_true(split("-5.kiosk-7", parts, 2));
	assert_false(split("", parts, 1));
	assert_false(split("1", parts, 2));
	assert_false(split("1.", parts, 2));
	assert_false(split(".a", parts, 2));
	assert_false(split("1.a.b", parts, 2));
	assert_false(split("1..b", parts, 3));
}

static const char *tags_of(const char *text)
{
	static char out[API_TAGS_MAX * (6 * API_TAG_BYTES_MAX + 3) + 3];
	auto_json struct json *body = json_parse(text, strlen(text), NULL);
	auto_buf struct buf tags;
	struct error error = {0};

	assert_non_null(body);
	bool ok = api_tags(body, &tags, &error);
	assert_int_equal(ok, error.kind == ERROR_NONE);
	(void)snprintf(out, sizeof(out), "%s", buf_str(&tags));
	return ok ? out : NULL;
}

static void tags_are_few_and_short(void **state)
{
	char many[API_TAGS_MAX * 8 + 32] = "{\"tags\":[\"a\"", one[API_TAG_BYTES_MAX + 32];

	assert_string_equal(tags_of("{}"), "[]");
	assert_string_equal(tags_of("{\"tags\":[]}"), "[]");
	assert_string_equal(tags_of("{\"tags\":[\"a\",\"two words\",\"\\\"\"]}"), "[\"a\",\"two words\",\"\\\"\"]");
	assert_null(tags_of("{\"tags\":\"a\"}"));
	assert_null(tags_of("{\"tags\":[1]}"));
	assert_null(tags_of("{\"tags\":[\"\"]}"));
	assert_null(tags_of("{\"tags\":[\"a,b\"]}"));
	assert_null(tags_of("{\"tags\":[\"\\u001b\"]}"));
	(void)snprintf(one, sizeof(one), "{\"tags\":[\"%0*d\"]}", API_TAG_BYTES_MAX + 1, 0);
	assert_null(tags_of(one));
	for (int i = 0; i < API_TAGS_MAX; i++)
		(void)strcat(many, ",\"a\"");
	assert_null(tags_of(strcat(many, "]}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_strict),
		cmocka_unit_test(cursors_are_split_whole_or_not),
		cmocka_unit_test(tags_are_few_and_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
