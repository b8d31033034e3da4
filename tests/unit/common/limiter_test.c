#include "common/limiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct limits strict = {
	.messages_per_s = 10,
	.messages_burst = 20,
	.bytes_per_s = 1000,
	.bytes_burst = 300000,
};

static int set_up(void **state)
{
	*state = limiter_new(60000, 0);
	return *state == NULL;
}

static int tear_down(void **state)
{
	limiter_free(*state);
	return 0;
}

// How many of tries get through.
static int passed(struct limiter *limiter, const char *name, int tries, size_t bytes, int64_t now_ms)
{
	int count = 0;

	for (int i = 0; i < tries; i++)
		count += limiter_take(limiter, &strict, name, 1, bytes, now_ms);
	return count;
}

static void a_burst_then_the_rate(void **state)
{
	struct limiter *limiter = *state;

	assert_int_equal(passed(limiter, "kiosk-7", 100, 1, 5000), 20);
	assert_int_equal(passed(limiter, "kiosk-7", 100, 1, 5099), 0);
	assert_int_equal(passed(limiter, "kiosk-7", 100, 1, 5100), 1);
	assert_int_equal(passed(limiter, "kiosk-7", 100, 1, 6100), 10);
	assert_int_equal(passed(limiter, "kiosk-7", 100, 1, 100000000), 20); // never more than the burst
	assert_int_equal(passed(limiter, "kiosk-7", 100, 1, 90000000), 0);   // a clock that goes back gives nothing
	assert_int_equal(passed(limiter, "kiosk-8", 100, 1, 5000), 20);	     // each its own
}

// A steady sender at the rate is never refused, however its messages fall.
static void the_rate_itself_is_free(void **state)
{
	struct limiter *limiter = *state;

	for (int64_t second = 0; second < 1000; second++)
		assert_int_equal(passed(limiter, "kiosk-7", 10, 1, second * 1000 + second % 7 * 100), 10);
}

static void bytes_count_too(void **state)
{
	struct limiter *limiter = *state;

	assert_int_equal(passed(limiter, "kiosk-7", 5, 100000, 1000), 3);
	assert_int_equal(passed(limiter, "kiosk-7", 5, 1, 1000), 0);
	assert_int_equal(passed(limiter, "kiosk-7", 5, 1000, 2000), 1);
	assert_int_equal(passed(limiter, "kiosk-7", 5, 0, 2000), 5); // an empty message weighs nothing
}

static void an_array_weighs_what_it_holds(void **state)
{
	static const struct {
		const char *payload;
		size_t weight;
	} cases[] = {
		{"", 1},
		{"  ", 1},
		{"{\"a\":[1,2,3]}", 1},
		{"[]", 1},
		{"[{}]", 1},
		{"[{},{}]", 2},
		{" \r\n\t[{},{},{}]", 3},
		{"[{\"a\":1,\"b\":[1,2,{\"c\":[3,4]}]},{\"d\":{\"e\":1,\"f\":2}}]", 2},
		{"[{\"a,b\":\"],[\\\",\\\\\"},{\"c\":\"}\\\",{\"}]", 2},
		{"[,,", 3},
		{"[\"", 1},
	};
	struct limiter *limiter = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (limiter_weight(cases[i].payload, strlen(cases[i].payload)) != cases[i].weight)
			fail_msg("%s", cases[i].payload);
	for (int i = 0; i < 6; i++)
		assert_true(limiter_take(limiter, &strict, "kiosk-7", 3, 7, 1000));
	assert_false(limiter_take(limiter, &strict, "kiosk-7", 3, 7, 1000));
	assert_true(limiter_take(limiter, &strict, "kiosk-7", 2, 5, 1000));
	// Heavier than the burst: a full bucket lets it through, or it never would.
	assert_false(limiter_take(limiter, &strict, "kiosk-7", 30, 61, 2900));
	assert_true(limiter_take(limiter, &strict, "kiosk-7", 30, 61, 3000));
	assert_false(limiter_take(limiter, &strict, "kiosk-7", 1, 1, 3000));
}

// What has happened already is counted beyond the bucket, exactly.
static void a_charge_counts_what_is_over(void **state)
{
	struct limiter *limiter = *state;
	struct limiter_notice notice;

	limiter_charge(limiter, &strict, "kiosk-7", 15, 1000, 1000);
	assert_false(limiter_due(limiter, 10000, &notice));
	limiter_charge(limiter, &strict, "kiosk-7", 28, 300100, 10000); // 20 and 300,000
	limiter_charge(limiter, &strict, "kiosk-7", 7, 0, 10200);	  // 2 more
	assert_true(limiter_due(limiter, 11000, &notice));
	assert_int_equal(notice.messages, 8 + 5);
	assert_int_equal(notice.bytes, 100);
	assert_int_equal(notice.span_ms, 1000);
	assert_false(limiter_take(limiter, &strict, "kiosk-7", 9, 1, 11000));
	assert_true(limiter_take(limiter, &strict, "kiosk-7", 8, 1, 11000)); // the same buckets
}

static void no_rate_no_limit(void **state)
{
	struct limiter *limiter = *state;
	const struct limits none = {0};
	const struct limits only_bytes = {.bytes_per_s = 1, .bytes_burst = 1000000};

	for (int i = 0; i < 100000; i++)
		assert_true(limiter_take(limiter, &none, "kiosk-7", 1, 100000, 1));
	assert_int_equal(limiter_count(limiter), 0);
	for (int i = 0; i < 100000; i++)
		assert_true(limiter_take(limiter, &only_bytes, "kiosk-7", 1, 1, 1));
}

static void a_notice_a_minute(void **state)
{
	struct limiter *limiter = *state;
	struct limiter_notice notice;

	assert_false(limiter_due(limiter, 5000, &notice));
	(void)passed(limiter, "kiosk-7", 25, 7, 5000);
	(void)passed(limiter, "kiosk-8", 21, 7, 5000);
	assert_false(limiter_due(limiter, 5999, &notice));
	(void)passed(limiter, "kiosk-8", 12, 7, 5900); // 9 earned, 3 refused
	bool seen[2] = {false, false};
	for (int i = 0; i < 2; i++) {
		assert_true(limiter_due(limiter, 6000, &notice));
		bool second = strcmp(notice.name, "kiosk-8") == 0;
		assert_string_equal(notice.name, second ? "kiosk-8" : "kiosk-7");
		assert_int_equal(notice.messages, second ? 4 : 5);
		assert_int_equal(notice.bytes, second ? 28 : 35);
		assert_int_equal(notice.span_ms, 1000);
		seen[second] = true;
	}
	assert_true(seen[0] && seen[1]);
	assert_false(limiter_due(limiter, 6000, &notice));

	// 60 s of flooding: one more, with all of them.
	int64_t refused = 0;
	for (int64_t now_ms = 6100; now_ms < 65900; now_ms += 100) {
		refused += 50 - passed(limiter, "kiosk-7", 50, 1, now_ms);
		assert_false(limiter_due(limiter, now_ms, &notice));
	}
	assert_true(limiter_due(limiter, 66000, &notice));
	assert_int_equal(notice.messages, refused);
	assert_false(limiter_due(limiter, 66000, &notice));
	assert_false(limiter_due(limiter, 1000000, &notice)); // nothing more was refused
}

static void the_idle_are_forgotten(void **state)
{
	struct limiter *limiter = *state;
	struct limiter_notice notice;
	char name[32];

	for (int i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "kiosk-%d", i);
		assert_true(limiter_take(limiter, &strict, name, 1, 10, 1000));
	}
	(void)passed(limiter, "flood", 100, 10, 1000);
	assert_int_equal(limiter_count(limiter), 5001);
	assert_true(limiter_due(limiter, 59999, &notice)); // of the flood; not swept yet
	assert_int_equal(limiter_count(limiter), 5001);
	assert_false(limiter_due(limiter, 60000, &notice));
	assert_int_equal(limiter_count(limiter), 1); // its next notice must wait a minute
	assert_false(limiter_due(limiter, 119999, &notice));
	assert_int_equal(limiter_count(limiter), 1);
	assert_false(limiter_due(limiter, 180000, &notice));
	assert_int_equal(limiter_count(limiter), 0);
}

static void whoever_has_something_to_tell_is_kept(void **state)
{
	struct limiter *limiter = *state;
	struct limiter_notice notice;

	(void)passed(limiter, "flood", 21, 1, 0);
	assert_true(limiter_due(limiter, 3600000, &notice)); // sweeps first
	assert_string_equal(notice.name, "flood");
}

static void nonsense_is_refused(void **state)
{
	static const struct limits wrong[] = {
		{.messages_per_s = -1},
		{.bytes_per_s = -1},
		{.messages_per_s = 1},
		{.bytes_per_s = 1, .bytes_burst = PAYLOAD_MAX_BYTES - 1},
	};
	const struct limits none = {0};
	struct error error = {0};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(limits_check(&wrong[i], &error));
	assert_true(limits_check(&strict, &error));
	assert_true(limits_check(&none, &error));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_burst_then_the_rate),
		TEST(the_rate_itself_is_free),
		TEST(bytes_count_too),
		TEST(an_array_weighs_what_it_holds),
		TEST(a_charge_counts_what_is_over),
		TEST(no_rate_no_limit),
		TEST(a_notice_a_minute),
		TEST(the_idle_are_forgotten),
		TEST(whoever_has_something_to_tell_is_kept),
		TEST(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
