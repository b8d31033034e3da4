#include "commander/devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void keeps_order_and_drops_from_the_front(void **state)
{
	struct devices devices = {0};
	struct buf text;

	buf_init(&text, 1000);
	devices_literal(&devices, 10, &text);
	assert_string_equal(buf_str(&text), "{}");
	assert_true(devices_add(&devices, "a"));
	assert_true(devices_add(&devices, "b"));
	assert_true(devices_add(&devices, "c"));
	buf_clear(&text);
	devices_literal(&devices, 2, &text);
	assert_string_equal(buf_str(&text), "{a,b}");
	devices_drop(&devices, 2);
	buf_clear(&text);
	devices_literal(&devices, 10, &text);
	assert_string_equal(buf_str(&text), "{c}");
	devices_drop(&devices, 5);
	assert_int_equal(devices.count, 0);
	buf_done(&text);
	devices_done(&devices);
}

static void is_bounded(void **state)
{
	struct devices devices = {0};

	for (size_t i = 0; i < DEVICES_MAX; i++)
		assert_true(devices_add(&devices, "kiosk-7"));
	assert_false(devices_add(&devices, "kiosk-7"));
	devices_clear(&devices);
	assert_true(devices_add(&devices, "kiosk-7"));
	devices_done(&devices);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_and_drops_from_the_front),
		cmocka_unit_test(is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
