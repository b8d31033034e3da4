#include "common/mqtt_unacked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void counts_until_the_ceiling(void **state)
{
	struct mqtt_unacked unacked;
	struct error error = {0};

	assert_true(mqtt_unacked_init(&unacked, 2, 100, &error));
	assert_true(mqtt_unacked_has_room(&unacked, 100));
	assert_false(mqtt_unacked_has_room(&unacked, 101));
	mqtt_unacked_sent(&unacked, 1, 60);
	assert_true(mqtt_unacked_has_room(&unacked, 40));
	assert_false(mqtt_unacked_has_room(&unacked, 41));
	mqtt_unacked_sent(&unacked, 65535, 0);
	assert_false(mqtt_unacked_has_room(&unacked, 0));
	assert_int_equal(unacked.count, 2);
	mqtt_unacked_heard(&unacked, 65535);
	mqtt_unacked_heard(&unacked, 1);
	assert_int_equal(unacked.count, 0);
	assert_int_equal(unacked.bytes, 0);
	assert_true(mqtt_unacked_has_room(&unacked, 100));
	mqtt_unacked_done(&unacked);
}

static void takes_no_notice_of_what_it_does_not_know(void **state)
{
	struct mqtt_unacked unacked;
	struct error error = {0};

	assert_true(mqtt_unacked_init(&unacked, 10, 100, &error));
	mqtt_unacked_sent(&unacked, 0, 1);     // QoS 0
	mqtt_unacked_sent(&unacked, 65536, 1); // no such identifier
	assert_int_equal(unacked.count, 0);
	mqtt_unacked_sent(&unacked, 7, 1);
	mqtt_unacked_sent(&unacked, 7, 1); // counted already
	assert_int_equal(unacked.count, 1);
	mqtt_unacked_heard(&unacked, 8);
	mqtt_unacked_heard(&unacked, -1);
	assert_int_equal(unacked.count, 1);
	mqtt_unacked_heard(&unacked, 7);
	mqtt_unacked_heard(&unacked, 7);
	assert_int_equal(unacked.count, 0);
	mqtt_unacked_done(&unacked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_until_the_ceiling),
		cmocka_unit_test(takes_no_notice_of_what_it_does_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
