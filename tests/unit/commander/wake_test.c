#include "commander/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct options options = {
	.wake_after_s = 5, .wake_retry_s = 30, .wake_retry_max_s = 3600, .fcm_device_per_hour = 20};

static struct wake_facts waiting(void)
{
	return (struct wake_facts){.reachable = true, .wanted = true, .hour_left_s = 1};
}

static void pushes_when_a_command_waits(void **state)
{
	struct wake_facts facts = waiting();
	int64_t later_s = 0;

	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_PUSH);
	facts.wanted = false;
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_REST);
	facts = waiting();
	facts.reachable = false;
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_REST);
}

static void keeps_to_the_quota_of_a_device(void **state)
{
	struct wake_facts facts = waiting();
	int64_t later_s = 0;

	facts.hour_count = 19;
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_PUSH);
	facts.hour_count = 20;
	facts.hour_left_s = 1234;
	facts.asked = true; // also then
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_LATER);
	assert_int_equal(later_s, 1234);
}

static void lets_a_heartbeat_be_first_that_is_nearer_than_a_push(void **state)
{
	struct wake_facts facts = waiting();
	int64_t later_s = 0;

	facts.sleeps = true;
	facts.heartbeat_in_s = 10;
	facts.delay_ms = 20000;
	facts.delay_count = 2; // not learnt yet
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_PUSH);
	facts.delay_count = 3;
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_LATER);
	assert_int_equal(later_s, 15);
	facts.heartbeat_in_s = 21;
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_PUSH);
	facts.heartbeat_in_s = -3; // overdue: it can't be relied on
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_PUSH);
	facts.heartbeat_in_s = 10;
	facts.asked = true; // now, said a person
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_PUSH);
	facts.asked = facts.sleeps = false; // gone without a word: nothing is expected
	assert_int_equal(wake_decide(&facts, &options, &later_s), WAKE_PUSH);
}

static void waits_as_long_as_this_device_takes(void **state)
{
	assert_int_equal(wake_retry_s(&options, 0, 0, 0), 30);
	assert_int_equal(wake_retry_s(&options, 2000, 2, 0), 30);
	assert_int_equal(wake_retry_s(&options, 2000, 3, 0), 6);
	assert_int_equal(wake_retry_s(&options, 100, 3, 0), 5); // not before wake.after_s
	assert_int_equal(wake_retry_s(&options, 100000, 3, 0), 300);
	assert_int_equal(wake_retry_s(&options, 0, 0, 3), 240);
	assert_int_equal(wake_retry_s(&options, 0, 0, 60), 3600);
	assert_int_equal(wake_retry_s(&options, 86400000, 9, 0), 3600);
}

static void without_credentials_nothing_is_noted(void **state)
{
	struct wake wake = {0};

	wake_sent(&wake, "kiosk-7");
	wake_contact(&wake, "kiosk-7");
	wake_look(&wake);
	wake_look_all(&wake);
	assert_false(wake_is_due(&wake));
	struct json *health auto_json = wake_health(&wake);
	assert_string_equal(json_text(health), "{\"state\":\"off\"}");
	wake_done(&wake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushes_when_a_command_waits),
		cmocka_unit_test(keeps_to_the_quota_of_a_device),
		cmocka_unit_test(lets_a_heartbeat_be_first_that_is_nearer_than_a_push),
		cmocka_unit_test(waits_as_long_as_this_device_takes),
		cmocka_unit_test(without_credentials_nothing_is_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
