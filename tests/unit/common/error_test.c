#include "common/error.h"

#include "tests/unit/scratch.h"

#include <errno.h>

static void set_fills_and_returns_false(void **state)
{
	(void)state;
	struct error error = {.code = 7, .where = "old"};
	assert_false(error_set(&error, ERROR_INVALID, "bad %s", "thing"));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_int_equal(error.code, 0);
	assert_string_equal(error.what, "bad thing");
	assert_string_equal(error.where, "");
}

static void null_is_accepted(void **state)
{
	(void)state;
	assert_false(error_set(NULL, ERROR_FAILED, "x"));
	assert_false(error_errno(NULL, ENOENT, "x"));
	assert_false(error_prefix(NULL, "x"));
}

static void what_is_one_line(void **state)
{
	(void)state;
	struct error error;
	(void)error_set(&error, ERROR_FAILED, "ERROR:  no such table\nLINE 1: select\r\n\n");
	assert_string_equal(error.what, "ERROR:  no such table LINE 1: select");
}

static void what_may_be_its_own_argument(void **state)
{
	(void)state;
	struct error error;
	(void)error_set(&error, ERROR_FAILED, "inner");
	(void)error_set(&error, ERROR_FAILED, "outer: %s", error.what);
	assert_string_equal(error.what, "outer: inner");
}

static void errno_picks_the_kind(void **state)
{
	(void)state;
	static const struct {
		int code;
		enum error_kind kind;
	} cases[] = {
		{ENOENT, ERROR_NOT_FOUND},  {EACCES, ERROR_DENIED}, {ECONNREFUSED, ERROR_UNREACHABLE},
		{ETIMEDOUT, ERROR_TIMEOUT}, {ENOSPC, ERROR_LIMIT},  {EEXIST, ERROR_EXISTS},
		{EIO, ERROR_FAILED},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error;
		assert_false(error_errno(&error, cases[i].code, "cannot read %s", "/etc/x"));
		assert_int_equal(error.kind, cases[i].kind);
		assert_int_equal(error.code, cases[i].code);
	}
	struct error error;
	(void)error_errno(&error, EACCES, "cannot read %s", "/etc/x");
	assert_string_equal(error.what, "cannot read /etc/x: Permission denied");
}

static void prefix_keeps_the_rest(void **state)
{
	(void)state;
	struct error error;
	(void)error_errno(&error, EIO, "row %d", 5);
	(void)snprintf(error.where, sizeof(error.where), "58030");
	assert_false(error_prefix(&error, "reading the %s", "outbox"));
	assert_string_equal(error.what, "reading the outbox: row 5: Input/output error");
	assert_int_equal(error.code, EIO);
	assert_string_equal(error.where, "58030");
}

static void long_texts_are_cut(void **state)
{
	(void)state;
	char text[2000];
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	struct error error;
	(void)error_set(&error, ERROR_FAILED, "%s", text);
	assert_int_equal(strlen(error.what), sizeof(error.what) - 1);
	(void)error_prefix(&error, "%s", text);
	assert_int_equal(strlen(error.what), sizeof(error.what) - 1);
	(void)error_prefix(&error, "short");
	assert_memory_equal(error.what, "short: aaa", 10);
}

static void every_kind_has_a_name(void **state)
{
	(void)state;
	for (int kind = ERROR_NONE; kind <= ERROR_LIMIT; kind++) {
		assert_string_not_equal(error_kind_name((enum error_kind)kind), "unknown");
		for (int other = ERROR_NONE; other < kind; other++)
			assert_string_not_equal(error_kind_name((enum error_kind)kind),
						error_kind_name((enum error_kind)other));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_and_returns_false),
		cmocka_unit_test(null_is_accepted),
		cmocka_unit_test(what_is_one_line),
		cmocka_unit_test(what_may_be_its_own_argument),
		cmocka_unit_test(errno_picks_the_kind),
		cmocka_unit_test(prefix_keeps_the_rest),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(every_kind_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
