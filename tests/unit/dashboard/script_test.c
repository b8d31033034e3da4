#include "dashboard/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct script_values plain = {
	.bridge = "https://bridge.example:8444",
	.token = "",
	.authority = "PEM",
	.configuration = "a = 1;\nb = 2;\n",
	.packages = "arm64-v8a file sum",
};

static bool make(enum script_kind kind, const struct script_values *values, struct buf *out, struct error *error)
{
	buf_init(out, SCRIPT_MAX_BYTES);
	return script_make(kind, values, out, error);
}

static void values_stand_in_quotes(void **state)
{
	struct error error = {0};
	auto_buf struct buf bash, windows;
	struct script_values values = plain;
	values.bridge = "https://x/$(touch /tmp/a)`b`'; rm -rf \"$HOME\" #";
	assert_true(make(SCRIPT_BASH, &values, &bash, &error));
	assert_non_null(strstr(buf_str(&bash), "\nbridge='https://x/$(touch /tmp/a)`b`'\\''; rm -rf \"$HOME\" #'\n"));
	assert_non_null(strstr(buf_str(&bash), "\ntoken=''\n"));
	assert_non_null(strstr(buf_str(&bash), "\nconfiguration='a = 1;\nb = 2;\n'\n"));
	assert_true(make(SCRIPT_WINDOWS, &values, &windows, &error));
	assert_non_null(
		strstr(buf_str(&windows), "\n$bridge = 'https://x/$(touch /tmp/a)`b`''; rm -rf \"$HOME\" #'\r\n"));
	assert_non_null(strstr(buf_str(&windows), "\n$configuration = 'a = 1;\r\nb = 2;\r\n'\r\n"));
}

static void a_value_that_looks_like_a_place_stays(void **state)
{
	struct error error = {0};
	auto_buf struct buf out;
	struct script_values values = plain;
	values.packages = "@TOKEN@";
	values.token = "secret";
	assert_true(make(SCRIPT_BASH, &values, &out, &error));
	assert_non_null(strstr(buf_str(&out), "\npackages='@TOKEN@' #"));
}

static void nothing_but_ascii(void **state)
{
	static const char *const bad[] = {"\xe2\x80\x99", "a\rb", "a\x01" "b", "\x7f", "\x80"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error error = {0};
		auto_buf struct buf out;
		struct script_values values = plain;
		values.authority = bad[i];
		assert_false(make(SCRIPT_WINDOWS, &values, &out, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_non_null(strstr(error.what, "AUTHORITY"));
	}
}

static void no_place_is_left(void **state)
{
	static const enum script_kind kinds[] = {SCRIPT_BASH, SCRIPT_WINDOWS};
	static const char *const names[] = {"@VERSION@",       "@BRIDGE@",   "@TOKEN@",	 "@AUTHORITY@",
					    "@CONFIGURATION@", "@PACKAGES@", "@FAULTS@", "@DEVICE_SCRIPT@"};
	for (size_t k = 0; k < 2; k++) {
		struct error error = {0};
		auto_buf struct buf out;
		assert_true(make(kinds[k], &plain, &out, &error));
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			assert_null(strstr(buf_str(&out), names[i]));
		assert_non_null(strstr(buf_str(&out), "no heartbeat was stored in time"));
		// Each value stands there: not one was left out of the template.
		assert_non_null(strstr(buf_str(&out), plain.bridge));
		assert_non_null(strstr(buf_str(&out), plain.packages));
		assert_non_null(strstr(buf_str(&out), "#!/system/bin/sh"));
	}
}

static void kinds_have_names(void **state)
{
	enum script_kind kind;
	assert_true(script_kind_parse("windows", &kind));
	assert_string_equal(script_file(kind), "muster-enroll.bat");
	assert_true(script_kind_parse("bash", &kind));
	assert_string_equal(script_file(kind), "muster-enroll.sh");
	assert_false(script_kind_parse("", &kind) || script_kind_parse("Bash", &kind));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_stand_in_quotes), cmocka_unit_test(a_value_that_looks_like_a_place_stays),
		cmocka_unit_test(nothing_but_ascii),      cmocka_unit_test(no_place_is_left),
		cmocka_unit_test(kinds_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
