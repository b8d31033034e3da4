#include "ingest/status.h"

#include "tests/unit/ingest/parsing.h"

static void told(const char *presence, bool alive)
{
	struct device_summary device = {0};
	assert_int_equal(parsing.message.count, 1);
	status_kind.tell(&parsing.message, 0, &device);
	assert_string_equal(device.presence, presence);
	assert_string_equal(device.presence_why, "status");
	assert_int_equal(device.presence_ms, RECEIVED_MS);
	assert_int_equal(parsing.message.alive, alive);
}

static void test_presence(void **state)
{
	accepts(&status_kind, "online");
	told("online", true);
	accepts(&status_kind, "offline"); // it may be the will
	told("offline", false);
	assert_true(parse_bytes(&status_kind, "online", 6, "", true)); // retained, from before
	told("online", false);
}

static void test_others(void **state)
{
	accepts(&status_kind, "");
	assert_int_equal(parsing.message.count, 0);
	refuses(&status_kind, "Online", "neither");
	refuses(&status_kind, "online ", "neither");
	refuses(&status_kind, "on", "neither");
	refuses(&status_kind, "{}", "neither");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presence),
		cmocka_unit_test(test_others),
	};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
