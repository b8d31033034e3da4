#include "agent/arguments.h"

#include "tests/unit/scratch.h"

static void takes_ours_and_leaves_the_rest(void **state)
{
	const char *device = NULL;
	const char *file = NULL;
	bool json = false;
	bool force = false;
	const struct argument arguments[] = {{"--device", &device, NULL},
					     {"--file", &file, NULL},
					     {"--json", NULL, &json},
					     {"--force", NULL, &force}};
	char words[][16] = {"x", "--config", "a.conf", "--device", "kiosk-7", "--json", "--file=b=c", "--jsonx"};
	char *argv[9] = {NULL};
	for (size_t i = 0; i < 8; i++)
		argv[i] = words[i];
	assert_int_equal(arguments_take(arguments, 4, 8, argv), 4);
	assert_string_equal(device, "kiosk-7");
	assert_string_equal(file, "b=c");
	assert_true(json);
	assert_false(force);
	assert_string_equal(argv[1], "--config");
	assert_string_equal(argv[2], "a.conf");
	assert_string_equal(argv[3], "--jsonx");
	assert_null(argv[4]);

	char *missing[] = {words[0], words[3], NULL};
	assert_int_equal(arguments_take(arguments, 4, 2, missing), 1);
	assert_string_equal(device, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(takes_ours_and_leaves_the_rest)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
