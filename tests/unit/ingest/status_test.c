#include "ingest/status.h"

#include "tests/unit/ingest/parsing.h"

static struct device_summary told(const char *text, bool retained, const char *why, const char *session)
{
	struct device_summary device = {0};
	parsing.why = why;
	parsing.session = session;
	if (!parse_bytes(&status_kind, text, strlen(text), "", retained))
		fail_msg("%s: %s", text, parsing.error.what);
	assert_int_equal(parsing.message.count, 1);
	status_kind.tell(&parsing.message, 0, &device);
	parsing.why = parsing.session = NULL;
	return device;
}

static void test_online(void **state)
{
	struct device_summary device = told("online", false, NULL, "7");
	assert_string_equal(device.online.why, "status");
	assert_int_equal(device.online.session, 7);
	assert_int_equal(device.online.at_ms, RECEIVED_MS);
	assert_true(device.online.firm);
	assert_null(device.offline.why);
	assert_true(parsing.message.alive);
	device = told("online", true, NULL, NULL); // from the broker's memory
	assert_string_equal(device.online.why, "status");
	assert_int_equal(device.online.session, 0);
	assert_false(device.online.firm);
	assert_false(parsing.message.alive);
}

static void test_offline(void **state)
{
	struct device_summary device = told("offline", false, "will", "7");
	assert_null(device.online.why);
	assert_string_equal(device.offline.why, "will");
	assert_int_equal(device.offline.session, 7);
	assert_false(device.offline.firm);
	assert_false(parsing.message.alive);
	assert_true(told("offline", false, "goodbye", "7").offline.firm);
	assert_false(told("offline", true, "goodbye", "7").offline.firm);
	assert_string_equal(told("offline", false, "sleep", "7").offline.why, "sleep");
	assert_true(told("offline", false, "sleep", "7").offline.firm);
	assert_string_equal(told("offline", false, NULL, NULL).offline.why, "status"); // it may be the will
	assert_string_equal(told("offline", false, "lunch", NULL).offline.why, "status");
}

static void test_others(void **state)
{
	accepts(&status_kind, "");
	assert_int_equal(parsing.message.count, 0);
	assert_false(parsing.message.alive); // it was an administrator's
	refuses(&status_kind, "Online", "neither");
	refuses(&status_kind, "online ", "neither");
	refuses(&status_kind, "on", "neither");
	refuses(&status_kind, "{}", "neither");
	parsing.session = "-1";
	refuses(&status_kind, "online", "session");
	parsing.session = "1234567890123456789";
	refuses(&status_kind, "online", "session");
	parsing.session = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_online),
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_others),
	};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
