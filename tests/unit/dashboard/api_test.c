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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_strict),
		cmocka_unit_test(cursors_are_split_whole_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
