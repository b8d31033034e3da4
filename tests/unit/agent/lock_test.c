#include "agent/lock.h"

#include "tests/unit/scratch.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void one_at_a_time(void **state)
{
	struct scratch *scratch = *state;
	struct error error = {0};
	assert_false(lock_held(scratch->folder));
	int fd = lock_take(scratch->folder, &error);
	assert_true(fd >= 0);
	assert_true(lock_held(scratch->folder));
	assert_int_equal(lock_take(scratch->folder, &error), -1);
	assert_int_equal(error.kind, ERROR_EXISTS);
	(void)close(fd);
	assert_false(lock_held(scratch->folder));
	assert_false(lock_held("/nonexistent"));
}

static void ends_with_its_process(void **state)
{
	struct scratch *scratch = *state;
	int pipes[2];
	char byte;
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	if (child == 0) {
		struct error error;
		if (lock_take(scratch->folder, &error) < 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_true(lock_held(scratch->folder));
	assert_int_equal(kill(child, SIGKILL), 0);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(lock_held(scratch->folder));
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_at_a_time, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(ends_with_its_process, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
