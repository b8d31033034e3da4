#include "common/clock.h"

#include "tests/unit/scratch.h"

static void parses(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-01-31T08:15:30.123Z", 1769847330123},
		{"2026-01-31T08:15:30.1Z", 1769847330100},
		{"2026-01-31T08:15:30.123456789Z", 1769847330123},
		{"2026-01-31T08:15:30.123999999Z", 1769847330123},
		{"2026-01-31t08:15:30z", 1769847330000},
		{"2026-01-31T09:15:30+01:00", 1769847330000},
		{"2026-01-31T02:45:30-05:30", 1769847330000},
		{"2026-01-31T08:15:30-00:00", 1769847330000},
		{"2000-02-29T00:00:00Z", 951782400000},
		{"2024-02-29T12:00:00Z", 1709208000000},
		{"1969-12-31T23:59:59.999Z", -1},
		{"0000-01-01T00:00:00Z", -62167219200000},
		{"9999-12-31T23:59:59.999Z", 253402300799999},
		{"2016-12-31T23:59:60Z", 1483228800000},      // a leap second
		{"2017-01-01T00:59:60+01:00", 1483228800000}, // the same one
		{"1990-12-31T15:59:60-08:00", 662688000000},  // RFC 3339 section 5.8
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ms = 0x5a5a;
		if (!clock_parse_rfc3339(cases[i].text, strlen(cases[i].text), &ms) || ms != cases[i].ms)
			fail_msg("%s gave %lld", cases[i].text, (long long)ms);
	}
}

static void refuses(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"2026",
		"2026-01-31",
		"2026-01-31T08:15:30",
		"2026-01-31 08:15:30Z",
		"2026-1-31T08:15:30Z",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-01-31T24:00:00Z",
		"2026-01-31T08:60:00Z",
		"2026-01-31T08:15:61Z",
		"2026-01-31T08:15:60Z",
		"2026-01-31T08:15:30.Z",
		"2026-01-31T08:15:30,5Z",
		"2026-01-31T08:15:30.1234567890Z",
		"2026-01-31T08:15:30+0100",
		"2026-01-31T08:15:30+24:00",
		"2026-01-31T08:15:30+01:60",
		"2026-01-31T08:15:30+01",
		"2026-01-31T08:15:30Z ",
		" 2026-01-31T08:15:30Z",
		"+026-01-31T08:15:30Z",
		"2026-01-31T08:15:30ZZ",
		"12026-01-31T08:15:30Z",
		"2026-01-31T-8:15:30Z",
		"1769847330123",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ms = 0x5a5a;
		if (clock_parse_rfc3339(cases[i], strlen(cases[i]), &ms))
			fail_msg("'%s' was accepted", cases[i]);
		assert_int_equal(ms, 0x5a5a);
	}
	int64_t ms;
	assert_false(clock_parse_rfc3339("2026-01-31T08:15:30\0", 20, &ms));
	assert_false(clock_parse_rfc3339("2026-01-31T08:15:30Z", 19, &ms)); // does not read past its length
}

static void every_day_is_written_and_read(void **state)
{
	(void)state;
	const int64_t day_ms = 86400000;
	int64_t last = INT64_MIN;
	for (int64_t day = -719528; day <= 2932896; day += 11) {
		int64_t ms = day * day_ms + (day & 0xffffff) % day_ms;
		char text[CLOCK_RFC3339_BYTES];
		int64_t again;
		clock_format_rfc3339(ms, text);
		assert_int_equal(strlen(text), 24);
		assert_true(clock_parse_rfc3339(text, strlen(text), &again));
		assert_true(again == ms && again > last);
		last = again;
	}
}

static void formats(void **state)
{
	(void)state;
	char text[CLOCK_RFC3339_BYTES];
	clock_format_rfc3339(1769847330123, text);
	assert_string_equal(text, "2026-01-31T08:15:30.123Z");
	clock_format_rfc3339(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	clock_format_rfc3339(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	clock_format_rfc3339(INT64_MIN, text);
	assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void clocks_tell_the_time(void **state)
{
	(void)state;
	assert_true(clock_wall_ms() > 1700000000000);
	int64_t before = clock_mono_ms();
	assert_true(clock_mono_ms() >= before);
}

static void backoff_stays_below_its_ceiling(void **state)
{
	(void)state;
	int64_t largest[4] = {0};
	for (int i = 0; i < 2000; i++) {
		for (unsigned attempt = 0; attempt < 4; attempt++) {
			int64_t wait = clock_backoff_ms(attempt, 500, 3000);
			int64_t ceiling = attempt == 3 ? 3000 : 500 << attempt;
			assert_true(wait >= 0 && wait <= ceiling);
			if (wait > largest[attempt])
				largest[attempt] = wait;
		}
	}
	// Full jitter reaches up to the ceiling: 2,000 draws all below 90 % of it are less likely than 10^-91.
	assert_true(largest[0] > 450 && largest[1] > 900 && largest[2] > 1800 && largest[3] > 2700);
	assert_true(clock_backoff_ms(UINT32_MAX, 500, INT64_MAX) >= 0);
	assert_int_equal(clock_backoff_ms(5, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(refuses),
		cmocka_unit_test(every_day_is_written_and_read),
		cmocka_unit_test(formats),
		cmocka_unit_test(clocks_tell_the_time),
		cmocka_unit_test(backoff_stays_below_its_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
