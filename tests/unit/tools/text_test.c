#include "tools/text.h"

#include "tests/unit/scratch.h"

#define NOW_MS 1795225980000 // 2026-11-21T01:53:00Z

static void times_say_when_and_how_long_ago(void **state)
{
	static const struct {
		const char *time;
		const char *text;
	} cases[] = {
		{"2026-11-21T01:53:00.900+00:00", "2026-11-21 01:53:00Z, now"},
		{"2026-11-21T01:52:56.1Z", "2026-11-21 01:52:56Z, 3 s ago"},
		{"2026-11-21T02:43:00+01:00", "2026-11-21 01:43:00Z, 10 min ago"},
		{"2026-11-20T22:53:00Z", "2026-11-20 22:53:00Z, 3 h ago"},
		{"2027-02-19T01:53:01Z", "2027-02-19 01:53:01Z, in 90 d"},
		{"1970-01-01T00:00:00Z", "1970-01-01 00:00:00Z, 20778 d ago"},
		{"soon", "never"},
		{"", "never"},
		{NULL, "never"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(text_time(cases[i].time, NOW_MS).s, cases[i].text);
	assert_string_equal(text_instant("2026-11-21T01:53:01.719167+00:00").s, "2026-11-21 01:53:01.719Z");
	assert_string_equal(text_ago(NULL, NOW_MS).s, "");
}

static void amounts_have_units(void **state)
{
	assert_string_equal(text_duration(-3).s, "0 s");
	assert_string_equal(text_duration(59).s, "59 s");
	assert_string_equal(text_duration(3599).s, "59 min");
	assert_string_equal(text_duration(7380).s, "2 h 3 min");
	assert_string_equal(text_duration(86400).s, "1 d");
	assert_string_equal(text_duration(1621474).s, "18 d 18 h");
	assert_string_equal(text_free_of(24753602560, 25276502016).s, "24.8 of 25.3 GB free");
	assert_string_equal(text_free_of(20014950717, 123695058124).s, "20.0 of 124 GB free");
	assert_string_equal(text_free_of(0, 0).s, "0.0 of 0.0 B free");
}

static void nothing_steers_the_terminal(void **state)
{
	struct buf out auto_buf = {0};
	buf_init(&out, 1000);
	text_add_safe(&out, "a\x1b[2J\n\x7f\xc2\x9b!\xc3\xa9\xc2\xb0");
	assert_string_equal(buf_str(&out), "a?[2J??\?!\xc3\xa9\xc2\xb0");
}

static void facts_fit_80_columns(void **state)
{
	struct buf out auto_buf = {0};
	buf_init(&out, 1000);
	text_add_fact(&out, "Status", "one two three four five six seven eight nine ten eleven twelve thirteen");
	text_add_fact(&out, "", "x");
	assert_string_equal(buf_str(&out),
			    "  Status        one two three four five six seven eight nine ten eleven twelve\n"
			    "                thirteen\n"
			    "                x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_say_when_and_how_long_ago), cmocka_unit_test(amounts_have_units),
		cmocka_unit_test(nothing_steers_the_terminal), cmocka_unit_test(facts_fit_80_columns)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
