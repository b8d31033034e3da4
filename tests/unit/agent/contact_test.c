#include "agent/contact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START_MS 100000

static struct contact made(bool on_demand)
{
	struct contact contact;

	contact_init(&contact, on_demand, 20, START_MS);
	return contact;
}

static void a_persistent_device_never_sleeps(void **state)
{
	struct contact contact = made(false);

	assert_false(contact_sleep(&contact, true, true, START_MS + 86400000));
	assert_false(contact_sleep(&contact, false, true, START_MS + 86400000));
	assert_true(contact_deadline_ms(&contact) == INT64_MAX);
}

static void sleeps_when_nothing_happens(void **state)
{
	struct contact contact = made(true);

	assert_int_equal(contact_deadline_ms(&contact), START_MS + 20000);
	assert_false(contact_sleep(&contact, true, true, START_MS + 19999));
	contact_busy(&contact, START_MS + 19999);
	assert_false(contact_sleep(&contact, true, true, START_MS + 20001));
	assert_false(contact_sleep(&contact, true, false, START_MS + 40000)); // something is not stored yet
	assert_true(contact_deadline_ms(&contact) > START_MS + 40000);	      // and need not be looked at all the time
	assert_true(contact_sleep(&contact, true, true, START_MS + 40000));
	assert_false(contact_sleep(&contact, true, true, START_MS + 40001)); // once
	assert_true(contact_deadline_ms(&contact) == INT64_MAX);
	assert_true(contact_heartbeat(&contact, START_MS + 90000));
	assert_false(contact_heartbeat(&contact, START_MS + 91000)); // awake
	assert_false(contact_sleep(&contact, true, true, START_MS + 109999));
	assert_true(contact_sleep(&contact, true, true, START_MS + 111000));
}

static void gives_up_on_a_server_that_stores_nothing(void **state)
{
	struct contact contact = made(true);

	assert_false(contact_sleep(&contact, true, false, START_MS + 199999));
	assert_true(contact_sleep(&contact, true, false, START_MS + 200000));
}

static void gives_up_on_a_broker_that_cannot_be_reached(void **state)
{
	struct contact contact = made(true);

	assert_false(contact_sleep(&contact, false, false, START_MS + 59999));
	assert_true(contact_sleep(&contact, false, false, START_MS + 60000));
}

static void a_wake_up_counts_once_a_second(void **state)
{
	struct contact contact = made(true);

	assert_true(contact_sleep(&contact, true, true, START_MS + 20000));
	assert_false(contact_woken(&contact, START_MS + 30000));
	for (int i = 0; i < 1000; i++)
		contact_wake(&contact, START_MS + 30000);
	assert_int_equal(contact_deadline_ms(&contact), START_MS + 30000);
	assert_true(contact_woken(&contact, START_MS + 30000));
	assert_false(contact_woken(&contact, START_MS + 30000));
	contact_wake(&contact, START_MS + 30001);
	contact_wake(&contact, START_MS + 30002);
	assert_false(contact_woken(&contact, START_MS + 30999));
	assert_false(contact_sleep(&contact, true, true, START_MS + 30999)); // one is to come
	assert_true(contact_woken(&contact, START_MS + 31000));
	assert_false(contact_woken(&contact, START_MS + 99000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_persistent_device_never_sleeps),
		cmocka_unit_test(sleeps_when_nothing_happens),
		cmocka_unit_test(gives_up_on_a_server_that_stores_nothing),
		cmocka_unit_test(gives_up_on_a_broker_that_cannot_be_reached),
		cmocka_unit_test(a_wake_up_counts_once_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
