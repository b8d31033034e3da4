#include "tools/bench/simulator.h"

#include "tests/unit/scratch.h"

static struct simulator *started(void **state, const char *script, struct error *error)
{
	char *program auto_free = scratch_write(state, "program", script, 0700);
	return simulator_new(program, error);
}

static void its_first_line_is_what_commander_is_told(void **state)
{
	struct error error = {0};
	char token[32];
	struct simulator *simulator cleanup(simulator_free_cleanup) =
		started(state,
			"#!/bin/sh\necho '{\"endpoint\":\"https://localhost:9\",\"ca\":\"PEM\",\"credentials\":{\"a\":1}}'\n"
			"echo sleeper-0\necho sleeper-1\ncat >/dev/null\n",
			&error);
	assert_non_null(simulator);
	assert_string_equal(simulator_endpoint(simulator), "https://localhost:9");
	assert_string_equal(simulator_ca(simulator), "PEM");
	assert_string_equal(simulator_credentials(simulator), "{\"a\":1}");
	assert_true(simulator_next(simulator, token, sizeof(token)));
	assert_string_equal(token, "sleeper-0");
	assert_true(simulator_next(simulator, token, sizeof(token)));
	assert_string_equal(token, "sleeper-1");
} // it ends with its standard input, or this would not

static void one_that_ends_is_told(void **state)
{
	struct error error = {0};
	char token[32];
	struct simulator *simulator cleanup(simulator_free_cleanup) =
		started(state, "#!/bin/sh\necho '{\"endpoint\":\"x\",\"ca\":\"x\",\"credentials\":{}}'\n", &error);
	assert_non_null(simulator);
	assert_false(simulator_next(simulator, token, sizeof(token)));
}

static void one_that_cannot_be_is_an_error(void **state)
{
	struct error error = {0};
	assert_null(started(state, "#!/bin/sh\nexit 1\n", &error));
	assert_non_null(strstr(error.what, "ended"));
	assert_null(started(state, "#!/bin/sh\necho '{\"endpoint\":\"x\"}'\n", &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_null(simulator_new("/nonexistent", &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(its_first_line_is_what_commander_is_told, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(one_that_ends_is_told, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_is_an_error, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
