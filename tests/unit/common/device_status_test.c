#include "common/device_status.h"

#include "tests/unit/scratch.h"

static void a_will_says_why(void **state)
{
	struct device_status will;
	assert_true(device_status_make("kiosk-7", 41, "offline", "will", &will));
	assert_string_equal(will.publish.topic, "fleet/v1/kiosk-7/status");
	assert_memory_equal(will.publish.payload, "offline", will.publish.payload_bytes);
	assert_int_equal(will.publish.qos, 1);
	assert_true(will.publish.retain);
	assert_int_equal(will.publish.property_count, 2);
	assert_string_equal(will.publish.properties[0].name, "session");
	assert_string_equal(will.publish.properties[0].value, "41");
	assert_string_equal(will.publish.properties[1].name, "why");
	assert_string_equal(will.publish.properties[1].value, "will");
}

static void online_needs_no_reason(void **state)
{
	struct device_status status;
	assert_true(device_status_make("kiosk-7", INT64_MAX, "online", NULL, &status));
	assert_int_equal(status.publish.property_count, 1);
	assert_string_equal(status.publish.properties[0].value, "9223372036854775807");
}

static void nobody_else_has_a_status(void **state)
{
	struct device_status status;
	assert_false(device_status_make("svc.ingest", 1, "online", NULL, &status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_will_says_why),
		cmocka_unit_test(online_needs_no_reason),
		cmocka_unit_test(nobody_else_has_a_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
