#include "dashboard/lockout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void strike(struct lockout *lockout, const char *key, int64_t now_ms, int times)
{
	for (int i = 0; i < times; i++)
		lockout_fail(lockout, LOCKOUT_ACCOUNT, key, now_ms);
}

static int64_t left(const struct lockout *lockout, const char *key, int64_t now_ms)
{
	return lockout_remaining_ms(lockout, LOCKOUT_ACCOUNT, key, now_ms);
}

static void tenth_failure_locks_for_a_minute(void **state)
{
	struct lockout *lockout cleanup(lockout_free_cleanup) = lockout_new();

	strike(lockout, "admin", 1000, LOCKOUT_FAILURES - 1);
	assert_int_equal(left(lockout, "admin", 1000), 0);
	strike(lockout, "admin", 1000, 1);
	assert_int_equal(left(lockout, "admin", 1000), LOCKOUT_FIRST_MS);
	assert_int_equal(left(lockout, "admin", 1000 + LOCKOUT_FIRST_MS - 1), 1);
	assert_int_equal(left(lockout, "admin", 1000 + LOCKOUT_FIRST_MS), 0);
}

static void each_further_failure_doubles_up_to_the_longest(void **state)
{
	struct lockout *lockout cleanup(lockout_free_cleanup) = lockout_new();
	int64_t now_ms = 1000;

	strike(lockout, "admin", now_ms, LOCKOUT_FAILURES);
	for (int64_t expected_ms = 2 * LOCKOUT_FIRST_MS; expected_ms < 4 * LOCKOUT_LONGEST_MS; expected_ms *= 2) {
		now_ms += left(lockout, "admin", now_ms);
		strike(lockout, "admin", now_ms, 1);
		assert_int_equal(left(lockout, "admin", now_ms),
				 expected_ms < LOCKOUT_LONGEST_MS ? expected_ms : LOCKOUT_LONGEST_MS);
	}
}

static void keys_and_scopes_are_apart(void **state)
{
	struct lockout *lockout cleanup(lockout_free_cleanup) = lockout_new();

	strike(lockout, "admin", 1000, LOCKOUT_FAILURES);
	assert_int_equal(left(lockout, "admin2", 1000), 0);
	assert_int_equal(lockout_remaining_ms(lockout, LOCKOUT_ADDRESS, "admin", 1000), 0);
}

static void success_forgets(void **state)
{
	struct lockout *lockout cleanup(lockout_free_cleanup) = lockout_new();

	strike(lockout, "admin", 1000, LOCKOUT_FAILURES - 1);
	lockout_forget(lockout, LOCKOUT_ACCOUNT, "admin");
	strike(lockout, "admin", 1000, LOCKOUT_FAILURES - 1);
	assert_int_equal(left(lockout, "admin", 1000), 0);
}

static void old_failures_are_forgotten(void **state)
{
	struct lockout *lockout cleanup(lockout_free_cleanup) = lockout_new();

	strike(lockout, "admin", 1000, LOCKOUT_FAILURES - 1);
	strike(lockout, "admin", 1000 + LOCKOUT_LONGEST_MS + 1, 1);
	assert_int_equal(left(lockout, "admin", 1000 + LOCKOUT_LONGEST_MS + 1), 0);
}

static void memory_is_bounded(void **state)
{
	struct lockout *lockout cleanup(lockout_free_cleanup) = lockout_new();
	char key[32];

	strike(lockout, "first", 1000, LOCKOUT_FAILURES);
	for (int i = 0; i < LOCKOUT_KEYS_MAX; i++) {
		(void)snprintf(key, sizeof(key), "guess-%d", i);
		strike(lockout, key, 2000 + i, 1);
	}
	assert_int_equal(left(lockout, "first", 2000), 0); // the oldest made room
	strike(lockout, "guess-7", 9000, LOCKOUT_FAILURES - 1);
	assert_int_equal(left(lockout, "guess-7", 9000), LOCKOUT_FIRST_MS); // the younger are still counted
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenth_failure_locks_for_a_minute),
		cmocka_unit_test(each_further_failure_doubles_up_to_the_longest),
		cmocka_unit_test(keys_and_scopes_are_apart),
		cmocka_unit_test(success_forgets),
		cmocka_unit_test(old_failures_are_forgotten),
		cmocka_unit_test(memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
