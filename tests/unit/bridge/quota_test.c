#include "bridge/quota.h"

#include "tests/unit/scratch.h"

static void so_many_at_once_and_then_at_the_rate(void **state)
{
	const struct quota_rate rate = {.per_min = 60, .burst = 5};
	struct bucket bucket = {0};
	int64_t retry_after_s = 0;
	for (int i = 0; i < 5; i++)
		assert_true(bucket_take(&bucket, rate, 100000, &retry_after_s));
	assert_false(bucket_take(&bucket, rate, 100000, &retry_after_s));
	assert_int_equal(retry_after_s, 1);
	assert_false(bucket_take(&bucket, rate, 100999, &retry_after_s));
	assert_true(bucket_take(&bucket, rate, 101000, &retry_after_s));
	assert_false(bucket_take(&bucket, rate, 101000, &retry_after_s));
	assert_true(bucket_take(&bucket, rate, 500000, &retry_after_s));
	for (int i = 0; i < 4; i++) // silence fills it to the burst and no further
		assert_true(bucket_take(&bucket, rate, 500000, &retry_after_s));
	assert_false(bucket_take(&bucket, rate, 500000, &retry_after_s));
}

static void looking_takes_nothing(void **state)
{
	const struct quota_rate rate = {.per_min = 1, .burst = 1};
	struct bucket bucket = {0};
	int64_t retry_after_s = 0;
	for (int i = 0; i < 10; i++)
		assert_true(bucket_has(&bucket, rate, 5000, &retry_after_s));
	assert_true(bucket_take(&bucket, rate, 5000, &retry_after_s));
	assert_false(bucket_has(&bucket, rate, 5000, &retry_after_s));
	assert_int_equal(retry_after_s, 60);
	assert_false(bucket_has(&bucket, rate, 64999, &retry_after_s));
	assert_int_equal(retry_after_s, 1);
	assert_true(bucket_has(&bucket, rate, 65000, &retry_after_s));
}

static void none_is_no_limit(void **state)
{
	const struct quota_rate rate = {0};
	struct bucket bucket = {0};
	int64_t retry_after_s = 0;
	for (int i = 0; i < 100000; i++)
		assert_true(bucket_take(&bucket, rate, 1, &retry_after_s));
}

static void addresses_have_their_own(void **state)
{
	struct quota *quota cleanup(quota_free_cleanup) = quota_new(64, (struct quota_rate){.per_min = 60, .burst = 1});
	int64_t retry_after_s = 0;
	assert_non_null(quota);
	assert_true(quota_take(quota, "192.0.2.1", 1000, &retry_after_s));
	assert_false(quota_take(quota, "192.0.2.1", 1000, &retry_after_s));
	assert_false(quota_take(quota, "::ffff:192.0.2.1", 1000, &retry_after_s));
	assert_true(quota_has(quota, "192.0.2.2", 1000, &retry_after_s));
	assert_true(quota_take(quota, "192.0.2.2", 1000, &retry_after_s));
	assert_true(quota_take(quota, "2001:db8::1", 1000, &retry_after_s));
	assert_false(quota_take(quota, "2001:db8::ffff", 1000, &retry_after_s));
	assert_true(quota_take(quota, "2001:db8:0:1::1", 1000, &retry_after_s));
}

// However many addresses come, memory stays, and who is at work keeps its bucket.
static void the_quietest_makes_room(void **state)
{
	struct quota *quota cleanup(quota_free_cleanup) =
		quota_new(8, (struct quota_rate){.per_min = 60, .burst = 100});
	int64_t retry_after_s = 0;
	char address[32];
	for (int i = 0; i < 100; i++)
		assert_true(quota_take(quota, "192.0.2.1", 1000, &retry_after_s));
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(address, sizeof(address), "198.51.%d.%d", i / 250, i % 250);
		assert_true(quota_take(quota, address, 1000, &retry_after_s));
	}
	assert_false(quota_take(quota, "192.0.2.1", 1000, &retry_after_s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_at_once_and_then_at_the_rate), cmocka_unit_test(looking_takes_nothing),
		cmocka_unit_test(none_is_no_limit), cmocka_unit_test(addresses_have_their_own),
		cmocka_unit_test(the_quietest_makes_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
