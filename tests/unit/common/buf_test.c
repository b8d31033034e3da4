#include "common/buf.h"

#include "tests/unit/scratch.h"

#include <math.h>

static void empty_is_an_empty_string(void **state)
{
	(void)state;
	struct buf buf auto_buf = {0};
	buf_init(&buf, 10);
	assert_string_equal(buf_str(&buf), "");
	assert_null(buf.data);
	assert_true(buf_add(&buf, NULL, 0));
	assert_non_null(buf.data);
	assert_string_equal(buf.data, "");
}

static void grows_and_stays_terminated(void **state)
{
	(void)state;
	struct buf buf auto_buf = {0};
	buf_init(&buf, 100000);
	for (int i = 0; i < 10000; i++) {
		assert_true(buf_addf(&buf, "%d,", i % 10));
		assert_int_equal(buf.data[buf.len_bytes], '\0');
	}
	assert_int_equal(buf.len_bytes, 20000);
	assert_int_equal(strlen(buf.data), 20000);
}

static void the_ceiling_holds_exactly(void **state)
{
	(void)state;
	struct buf buf auto_buf = {0};
	buf_init(&buf, 8);
	assert_true(buf_add_str(&buf, "12345678"));
	assert_false(buf.overflowed);
	assert_true(buf.capacity_bytes <= 9);
	assert_false(buf_add_str(&buf, "9"));
	assert_true(buf.overflowed);
	assert_string_equal(buf.data, "12345678");
}

static void an_append_is_whole_or_nothing_and_sticky(void **state)
{
	(void)state;
	struct buf buf auto_buf = {0};
	buf_init(&buf, 8);
	assert_true(buf_add_str(&buf, "abc"));
	assert_false(buf_addf(&buf, "%s", "123456"));
	assert_string_equal(buf.data, "abc");
	assert_false(buf_add_str(&buf, "d")); // would fit
	assert_string_equal(buf.data, "abc");
	buf_clear(&buf);
	assert_false(buf.overflowed);
	assert_string_equal(buf_str(&buf), "");
	assert_true(buf_add_str(&buf, "d"));
}

static void a_huge_ceiling_does_not_wrap(void **state)
{
	(void)state;
	struct buf buf auto_buf = {0};
	buf_init(&buf, SIZE_MAX);
	assert_true(buf_add_str(&buf, "a"));
	assert_false(buf_add(&buf, "b", SIZE_MAX));
	assert_string_equal(buf.data, "a");
}

static void consume_takes_from_the_front(void **state)
{
	(void)state;
	struct buf buf auto_buf = {0};
	buf_init(&buf, 100);
	buf_consume(&buf, 5);
	(void)buf_add_str(&buf, "line one\nline two\n");
	buf_consume(&buf, 9);
	assert_string_equal(buf.data, "line two\n");
	assert_int_equal(buf.len_bytes, 9);
	buf_consume(&buf, 100);
	assert_string_equal(buf_str(&buf), "");
	assert_int_equal(buf.len_bytes, 0);
}

static void bytes_may_be_nul(void **state)
{
	(void)state;
	struct buf buf auto_buf = {0};
	buf_init(&buf, 100);
	assert_true(buf_add(&buf, "a\0b", 3));
	assert_int_equal(buf.len_bytes, 3);
	assert_memory_equal(buf.data, "a\0b", 4);
}

static void doubles_are_short_and_exact(void **state)
{
	(void)state;
	static const struct {
		double value;
		const char *text;
	} cases[] = {{0.1, "0.1"},
		     {21.5, "21.5"},
		     {-3.0, "-3"},
		     {1e300, "1e+300"},
		     {1.0 / 3.0, "0.3333333333333333"},
		     {5e-324, "4.94065645841247e-324"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[BUF_DOUBLE_BYTES];
		buf_format_double(text, cases[i].value);
		assert_string_equal(text, cases[i].text);
		assert_true(strtod(text, NULL) == cases[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_an_empty_string),
		cmocka_unit_test(grows_and_stays_terminated),
		cmocka_unit_test(the_ceiling_holds_exactly),
		cmocka_unit_test(an_append_is_whole_or_nothing_and_sticky),
		cmocka_unit_test(a_huge_ceiling_does_not_wrap),
		cmocka_unit_test(consume_takes_from_the_front),
		cmocka_unit_test(bytes_may_be_nul),
		cmocka_unit_test(doubles_are_short_and_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
