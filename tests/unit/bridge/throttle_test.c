#include "bridge/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define FAILURES 3
#define WINDOW_MS 60000

static struct throttle *make(size_t addresses)
{
	struct throttle *throttle = throttle_new(addresses, FAILURES, WINDOW_MS);

	assert_non_null(throttle);
	return throttle;
}

static void fail_often(struct throttle *throttle, const char *address, int64_t now_ms)
{
	for (int i = 0; i < FAILURES; i++)
		throttle_failed(throttle, address, now_ms);
}

static void test_blocks_after_the_last_allowed_failure(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = make(16);

	for (int i = 0; i < FAILURES; i++) {
		assert_false(throttle_check(throttle, "192.0.2.1", 1000).blocked);
		throttle_failed(throttle, "192.0.2.1", 1000);
	}
	struct throttle_verdict verdict = throttle_check(throttle, "192.0.2.1", 1000);
	assert_true(verdict.blocked);
	assert_true(verdict.first);
	assert_int_equal(verdict.retry_after_s, 60);
	verdict = throttle_check(throttle, "192.0.2.1", 41500);
	assert_true(verdict.blocked);
	assert_false(verdict.first);
	assert_int_equal(verdict.retry_after_s, 20);
	assert_false(throttle_check(throttle, "192.0.2.2", 1000).blocked);
}

static void test_forgives_after_the_window(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = make(16);

	fail_often(throttle, "192.0.2.1", 1000);
	assert_int_equal(throttle_check(throttle, "192.0.2.1", 60999).retry_after_s, 1);
	assert_false(throttle_check(throttle, "192.0.2.1", 61000).blocked);
	fail_often(throttle, "192.0.2.1", 61000);
	assert_true(throttle_check(throttle, "192.0.2.1", 61000).first);
}

static void test_counts_ipv6_by_network(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = make(16);

	throttle_failed(throttle, "2001:db8:0:1::1", 0);
	throttle_failed(throttle, "2001:db8:0:1::2", 0);
	throttle_failed(throttle, "2001:db8:0:1:ffff::3", 0);
	assert_true(throttle_check(throttle, "2001:db8:0:1::4", 0).blocked);
	assert_false(throttle_check(throttle, "2001:db8:0:2::1", 0).blocked);
}

static void test_sees_through_mapped_addresses(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = make(16);

	fail_often(throttle, "::ffff:192.0.2.1", 0);
	assert_true(throttle_check(throttle, "192.0.2.1", 0).blocked);
	assert_false(throttle_check(throttle, "::ffff:192.0.2.2", 0).blocked);
}

// Far more addresses than places: nothing grows, and those that failed lately are still known.
// Devices are counted by their names, each for itself.
static void test_counts_names_apart(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = make(64);

	fail_often(throttle, "kiosk-7", 0);
	assert_true(throttle_check(throttle, "kiosk-7", 0).blocked);
	assert_false(throttle_check(throttle, "kiosk-8", 0).blocked);
	assert_false(throttle_check(throttle, "192.0.2.1", 0).blocked);
}

static void test_stays_bounded(void **state)
{
	struct throttle *throttle cleanup(throttle_free_cleanup) = make(64);
	char address[32];

	for (int i = 0; i < 10000; i++) {
		(void)snprintf(address, sizeof(address), "10.0.%d.%d", i / 250, i % 250);
		throttle_failed(throttle, address, i);
	}
	fail_often(throttle, "192.0.2.1", 10000);
	assert_true(throttle_check(throttle, "192.0.2.1", 10000).blocked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_after_the_last_allowed_failure),
		cmocka_unit_test(test_forgives_after_the_window),
		cmocka_unit_test(test_counts_ipv6_by_network),
		cmocka_unit_test(test_sees_through_mapped_addresses),
		cmocka_unit_test(test_counts_names_apart),
		cmocka_unit_test(test_stays_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
