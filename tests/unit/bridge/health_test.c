#include "bridge/health.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_knows_this_machine(void **state)
{
	assert_true(health_is_loopback("127.0.0.1"));
	assert_true(health_is_loopback("127.8.9.10"));
	assert_true(health_is_loopback("::1"));
	assert_true(health_is_loopback("::ffff:127.0.0.1"));
}

static void test_knows_strangers(void **state)
{
	assert_false(health_is_loopback("128.0.0.1"));
	assert_false(health_is_loopback("10.0.0.127"));
	assert_false(health_is_loopback("::2"));
	assert_false(health_is_loopback("::ffff:10.0.0.1"));
	assert_false(health_is_loopback("fe80::1"));
	assert_false(health_is_loopback(""));
	assert_false(health_is_loopback("localhost"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_knows_this_machine),
		cmocka_unit_test(test_knows_strangers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
