#include "dashboard/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct throttle_rate rate = {60, 60000, 5};

static int take(struct throttle *throttle, const char *key, int64_t now_ms, int most)
{
	struct throttle_state left;
	int taken = 0;

	while (taken < most && throttle_take(throttle, key, &rate, now_ms, &left))
		taken++;
	return taken;
}

static void a_burst_and_then_one_a_second(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = throttle_new();
	struct throttle_state left;

	assert_int_equal(take(throttle, "ann", 1000, 100), 5);
	assert_false(throttle_take(throttle, "ann", &rate, 1000, &left));
	assert_int_equal(left.remaining, 0);
	assert_int_equal(left.retry_ms, 1000);
	assert_int_equal(left.full_ms, 5000);
	assert_int_equal(take(throttle, "bob", 1000, 100), 5);
	assert_false(throttle_take(throttle, "ann", &rate, 1999, &left));
	assert_int_equal(left.retry_ms, 1);
	assert_int_equal(take(throttle, "ann", 2000, 100), 1);
	assert_int_equal(take(throttle, "ann", 1000000, 100), 5);
	assert_int_equal(take(throttle, "ann", 999000, 100), 0); // a clock does not go back, but nothing breaks
}

static void over_an_hour_it_is_the_rate(void **state)
{
	static const struct throttle_rate admin = {100, 60000, 100}, day = {3, 86400000, 3};
	struct throttle *throttle cleanup(throttle_free_cleanup) = throttle_new();
	struct throttle_state left;
	int taken = 0;

	for (int64_t now_ms = 0; now_ms < 3600000; now_ms += 50)
		taken += throttle_take(throttle, "ann", &admin, now_ms, &left);
	assert_in_range(taken, 60 * 100 + 100 - 2, 60 * 100 + 100);
	taken = 0;
	for (int64_t now_ms = 0; now_ms < INT64_C(10) * 86400000; now_ms += 60001)
		taken += throttle_take(throttle, "slow", &day, now_ms, &left);
	assert_in_range(taken, 10 * 3 + 2, 10 * 3 + 3);
}

static void zero_is_no_limit(void **state)
{
	static const struct throttle_rate none = {0, 60000, 0};
	struct throttle *throttle cleanup(throttle_free_cleanup) = throttle_new();
	struct throttle_state left;

	for (int i = 0; i < 1000; i++)
		assert_true(throttle_take(throttle, "ann", &none, 1, &left));
}

// Whoever comes from everywhere takes places of others, which costs them nothing but their debts.
static void memory_is_bounded(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = throttle_new();
	struct throttle_state left;
	char key[32];

	for (int i = 0; i < 4 * THROTTLE_KEYS_MAX; i++) {
		(void)snprintf(key, sizeof(key), "flood %d", i);
		assert_true(throttle_take(throttle, key, &rate, 1000 + i, &left));
	}
	assert_int_equal(take(throttle, key, 1000 + 4 * THROTTLE_KEYS_MAX, 100), 4); // the latest is remembered
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_and_then_one_a_second),
		cmocka_unit_test(over_an_hour_it_is_the_rate),
		cmocka_unit_test(zero_is_no_limit),
		cmocka_unit_test(memory_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
