#include "commander/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BASE_MS 1000
#define MAX_MS 8000

static struct breaker made(void)
{
	struct breaker breaker;

	breaker_init(&breaker, 3, BASE_MS, MAX_MS);
	return breaker;
}

static void fail_times(struct breaker *breaker, unsigned times, int64_t now_ms)
{
	for (unsigned i = 0; i < times; i++)
		breaker_failure(breaker, now_ms);
}

static void opens_after_failures_in_a_row(void **state)
{
	struct breaker breaker = made();

	fail_times(&breaker, 2, 10);
	breaker_success(&breaker);
	fail_times(&breaker, 2, 20);
	assert_int_equal(breaker_state(&breaker, 20), BREAKER_CLOSED);
	assert_int_equal(breaker_room(&breaker, 7, 20), 7);
	assert_int_equal(breaker_wait_ms(&breaker, 20), 0);
	fail_times(&breaker, 1, 30);
	assert_int_equal(breaker_state(&breaker, 30), BREAKER_OPEN);
	assert_int_equal(breaker_room(&breaker, 7, 30), 0);
	assert_in_range(breaker_wait_ms(&breaker, 30), BASE_MS / 2, BASE_MS);
	breaker_success(&breaker); // of a request made before
	assert_int_equal(breaker_state(&breaker, 30), BREAKER_OPEN);
}

static void lets_one_try_when_half_open(void **state)
{
	struct breaker breaker = made();
	int64_t now_ms = 100;

	fail_times(&breaker, 3, now_ms);
	now_ms += BASE_MS;
	assert_int_equal(breaker_state(&breaker, now_ms), BREAKER_HALF_OPEN);
	assert_int_equal(breaker_room(&breaker, 0, now_ms), 0);
	assert_int_equal(breaker_room(&breaker, 7, now_ms), 1);
	breaker_asks(&breaker, now_ms);
	assert_int_equal(breaker_room(&breaker, 7, now_ms + 1), 0);
	assert_int_equal(breaker_room(&breaker, 7, now_ms + MAX_MS), 1); // nothing was heard of it
	breaker_success(&breaker);
	assert_int_equal(breaker_state(&breaker, now_ms), BREAKER_CLOSED);
	fail_times(&breaker, 2, now_ms);
	assert_int_equal(breaker_state(&breaker, now_ms), BREAKER_CLOSED); // counts anew
}

static void stays_open_longer_each_time_up_to_a_limit(void **state)
{
	struct breaker breaker = made();
	int64_t now_ms = 100, length_ms = BASE_MS;

	fail_times(&breaker, 3, now_ms);
	for (int round = 0; round < 6; round++) {
		int64_t wait_ms = breaker_wait_ms(&breaker, now_ms);

		assert_in_range(wait_ms, length_ms / 2, length_ms);
		now_ms += wait_ms;
		assert_int_equal(breaker_room(&breaker, 1, now_ms), 1);
		breaker_asks(&breaker, now_ms);
		breaker_failure(&breaker, now_ms);
		assert_int_equal(breaker_state(&breaker, now_ms), BREAKER_OPEN);
		length_ms = length_ms * 2 > MAX_MS ? MAX_MS : length_ms * 2;
	}
}

static void is_held_for_as_long_as_it_was_asked(void **state)
{
	struct breaker breaker = made();

	breaker_hold(&breaker, 5000, 100);
	assert_int_equal(breaker_wait_ms(&breaker, 100), 5000);
	breaker_hold(&breaker, 1000, 100); // does not make it shorter
	assert_int_equal(breaker_wait_ms(&breaker, 100), 5000);
	assert_int_equal(breaker_room(&breaker, 1, 5099), 0);
	assert_int_equal(breaker_room(&breaker, 9, 5100), 1);
	assert_string_equal(breaker_state_name(breaker_state(&breaker, 5100)), "half-open");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_after_failures_in_a_row),
		cmocka_unit_test(lets_one_try_when_half_open),
		cmocka_unit_test(stays_open_longer_each_time_up_to_a_limit),
		cmocka_unit_test(is_held_for_as_long_as_it_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
