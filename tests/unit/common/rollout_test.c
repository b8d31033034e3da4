#include "common/rollout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-6;
}

static void a_rate_is_a_rate(void **state)
{
	const struct rollout steady = {.rate_per_min = 60, .factor = 1};

	assert_true(near(rollout_allowed(&steady, 0), 1)); // one at once
	assert_true(near(rollout_allowed(&steady, 30), 31));
	assert_true(near(rollout_allowed(&steady, 600), 601));
	assert_true(near(rollout_allowed(&steady, -5), 1));
}

static void it_grows_from_minute_to_minute(void **state)
{
	const struct rollout growing = {.rate_per_min = 10, .factor = 2};

	assert_true(near(rollout_allowed(&growing, 60), 11));
	assert_true(near(rollout_allowed(&growing, 90), 11 + 10));
	assert_true(near(rollout_allowed(&growing, 180), 1 + 10 + 20 + 40));
	assert_true(rollout_allowed(&growing, 1e9) <= 1e12); // and ends somewhere
	double last = 0;
	for (int s = 1; s < 1000; s += 7) {
		double now = rollout_allowed(&growing, s);

		assert_true(now >= last);
		last = now;
	}
}

static void without_a_rate_all_go_at_once(void **state)
{
	const struct rollout open = {.rate_per_min = 0, .factor = 1};

	assert_true(rollout_allowed(&open, 0) > 1e9);
	assert_true(near(rollout_duration_s(&open, 100000), 0));
}

static void the_duration_is_when_the_last_may_go(void **state)
{
	const struct rollout plans[] = {{.rate_per_min = 60, .factor = 1},
					{.rate_per_min = 10, .factor = 2},
					{.rate_per_min = 0.5, .factor = 1.5}};

	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		for (int64_t count = 2; count < 5000; count += 499) {
			double s = rollout_duration_s(&plans[i], count);

			assert_true(rollout_allowed(&plans[i], s + 1e-6) >= (double)count - 1e-3);
			assert_true(rollout_allowed(&plans[i], s * 0.99 - 0.1) < (double)count);
		}
	}
	assert_true(near(rollout_duration_s(&plans[0], 1), 0));
}

static struct rollout_decision decide(const struct rollout *rollout, struct rollout_counts counts, bool canary,
				      double pace_s)
{
	struct rollout_decision out;

	counts.swept = true;
	rollout_decide(rollout, &counts, canary, pace_s, &out);
	return out;
}

static const struct rollout plan = {.canary = 10, .success_pct = 80, .error_pct = 10, .rate_per_min = 60, .factor = 1};

static void nothing_goes_before_all_are_known(void **state)
{
	struct rollout_decision out;
	const struct rollout_counts counts = {.total = 500};

	rollout_decide(&plan, &counts, true, 0, &out);
	assert_int_equal(out.verdict, ROLLOUT_RELEASE);
	assert_int_equal(out.release, 0);
}

static void canaries_go_first_and_decide(void **state)
{
	struct rollout_decision out = decide(&plan, (struct rollout_counts){.total = 300}, true, 0);

	assert_int_equal(out.verdict, ROLLOUT_RELEASE);
	assert_int_equal(out.release, 10);
	out = decide(&plan, (struct rollout_counts){.total = 4}, true, 0);
	assert_int_equal(out.release, 4);
	out = decide(&plan, (struct rollout_counts){.total = 300, .released = 10, .succeeded = 7, .errors = 2}, true,
		     0);
	assert_int_equal(out.verdict, ROLLOUT_RELEASE); // the tenth may still make it
	assert_int_equal(out.release, 0);
	out = decide(&plan, (struct rollout_counts){.total = 300, .released = 10, .succeeded = 8}, true, 0);
	assert_int_equal(out.verdict, ROLLOUT_GO_ON);
	out = decide(&plan,
		     (struct rollout_counts){.total = 300, .released = 10, .succeeded = 7, .errors = 2, .expired = 1},
		     true, 0);
	assert_int_equal(out.verdict, ROLLOUT_STOP);
	assert_non_null(strstr(out.reason, "canary: 3 of 10"));
	out = decide(&(struct rollout){.canary = 0}, (struct rollout_counts){.total = 300}, true, 0);
	assert_int_equal(out.verdict, ROLLOUT_GO_ON);
}

static void the_rate_holds_behind_them(void **state)
{
	struct rollout_counts counts = {.total = 300, .released = 10, .succeeded = 10};

	assert_int_equal(decide(&plan, counts, false, 0).release, 1);
	assert_int_equal(decide(&plan, counts, false, 60).release, 61);
	counts.released = 71;
	assert_int_equal(decide(&plan, counts, false, 60).release, 0);
	assert_int_equal(decide(&plan, counts, false, 3600).release, 229); // no more than there are
}

static void errors_stop_it_but_not_the_first(void **state)
{
	struct rollout_counts counts = {.total = 300, .released = 100, .succeeded = 2, .errors = 1};

	assert_int_equal(decide(&plan, counts, false, 60).verdict, ROLLOUT_RELEASE);
	counts.errors = 2;
	assert_int_equal(decide(&plan, counts, false, 60).verdict, ROLLOUT_STOP);
	counts.succeeded = 18;
	assert_int_equal(decide(&plan, counts, false, 60).verdict, ROLLOUT_RELEASE); // 10 % is not above 10 %
	counts.errors = 3;
	assert_int_equal(decide(&plan, counts, false, 60).verdict, ROLLOUT_STOP);
	counts.forgiven_errors = 3;
	counts.forgiven_ends = 21;
	assert_int_equal(decide(&plan, counts, false, 60).verdict, ROLLOUT_RELEASE);
	counts.errors = 5;
	assert_int_equal(decide(&plan, counts, false, 60).verdict, ROLLOUT_STOP);
	assert_int_equal(decide(&(struct rollout){.error_pct = 100, .factor = 1}, counts, false, 60).verdict,
			 ROLLOUT_RELEASE);
}

static void it_ends_when_all_have(void **state)
{
	struct rollout_counts counts = {.total = 20, .released = 20, .succeeded = 17, .errors = 1, .expired = 1};

	assert_int_equal(decide(&plan, counts, false, 1e6).verdict, ROLLOUT_RELEASE);
	counts.cancelled = 1;
	assert_int_equal(decide(&plan, counts, false, 1e6).verdict, ROLLOUT_FINISH);
	counts.continuous = true;
	assert_int_equal(decide(&plan, counts, false, 1e6).verdict, ROLLOUT_RELEASE);
	assert_int_equal(decide(&(struct rollout){.factor = 1}, (struct rollout_counts){0}, false, 0).verdict,
			 ROLLOUT_FINISH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_a_rate),
		cmocka_unit_test(it_grows_from_minute_to_minute),
		cmocka_unit_test(without_a_rate_all_go_at_once),
		cmocka_unit_test(the_duration_is_when_the_last_may_go),
		cmocka_unit_test(nothing_goes_before_all_are_known),
		cmocka_unit_test(canaries_go_first_and_decide),
		cmocka_unit_test(the_rate_holds_behind_them),
		cmocka_unit_test(errors_stop_it_but_not_the_first),
		cmocka_unit_test(it_ends_when_all_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
