// The memory of what was obeyed, and the journal's lines; commands themselves are tried end to end.
#include "tools/sim/obey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ACCEPTED "\"state\":\"accepted\""
#define SUCCEEDED "\"state\":\"succeeded\",\"output\":{\"pong\":true,\"uptime_s\":3}"

static void test_remembers_the_latest(void **state)
{
	struct obey obey = {.counter_high = 0};

	assert_null(obey_find(&obey, "a"));
	assert_true(obey_remember(&obey, 5, "a", ACCEPTED));
	assert_true(obey_remember(&obey, 5, "a", SUCCEEDED));
	assert_true(obey_remember(&obey, 3, "b", ACCEPTED)); // a rejected one with an old counter
	assert_int_equal(obey.counter_high, 5);
	assert_string_equal(obey_find(&obey, "a")->members, SUCCEEDED);
	assert_string_equal(obey_find(&obey, "b")->members, ACCEPTED);
	obey_done(&obey);
}

static void test_forgets_the_oldest_first(void **state)
{
	struct obey obey = {.counter_high = 0};
	char id[8];

	for (int i = 0; i < OBEY_RECORDS + 1; i++) {
		(void)snprintf(id, sizeof(id), "c%d", i);
		assert_true(obey_remember(&obey, i + 1, id, ACCEPTED));
	}
	assert_null(obey_find(&obey, "c0"));
	assert_non_null(obey_find(&obey, "c1"));
	assert_int_equal(obey.counter_high, OBEY_RECORDS + 1);
	obey_done(&obey);
}

static void test_replays_its_own_lines(void **state)
{
	struct obey obey = {.counter_high = 0};

	assert_true(obey_replay(&obey, "sim-00001", "sim-00001 7 j-1 " ACCEPTED "\n"));
	assert_string_equal(obey.rebooting, "j-1"); // no result: the process went down, which is the reboot
	assert_true(obey_replay(&obey, "sim-00001", "sim-00001 7 j-1 " SUCCEEDED "\n"));
	assert_string_equal(obey.rebooting, "");
	assert_int_equal(obey.counter_high, 7);
	assert_string_equal(obey_find(&obey, "j-1")->members, SUCCEEDED);
	obey_done(&obey);
}

static void test_leaves_other_lines(void **state)
{
	static const char *const lines[] = {
		"sim-00002 7 j-1 " ACCEPTED "\n", // another's
		"sim-00001 7 j-1 " ACCEPTED,      // torn
		"sim-00001 7 j-1\n",
		"sim-00001 x j-1 " ACCEPTED "\n",
		"sim-00001 -1 j-1 " ACCEPTED "\n",
		"\n",
		"",
	};
	struct obey obey = {.counter_high = 0};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(obey_replay(&obey, "sim-00001", lines[i]));
	assert_int_equal(obey.counter_high, 0);
	assert_null(obey_find(&obey, "j-1"));
	obey_done(&obey);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remembers_the_latest),
		cmocka_unit_test(test_forgets_the_oldest_first),
		cmocka_unit_test(test_replays_its_own_lines),
		cmocka_unit_test(test_leaves_other_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
