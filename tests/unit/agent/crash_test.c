#include "agent/crash.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void reads_points_and_passes(void **state)
{
	struct error error = {0};
	struct crash crash;
	assert_true(crash_init(&crash, NULL, &error));
	assert_int_equal(crash.at, CRASH_NONE);
	assert_true(crash_init(&crash, "", &error));
	assert_true(crash_init(&crash, "outbox.commit", &error));
	assert_int_equal(crash.at, CRASH_OUTBOX_COMMIT);
	assert_int_equal(crash.passes_left, 1);
	assert_true(crash_init(&crash, "command.stored:12", &error));
	assert_int_equal(crash.at, CRASH_COMMAND_STORED);
	assert_int_equal(crash.passes_left, 12);

	static const char *const wrong[] = {"outbox",	  "publish:",	"publish:0", "publish:x",
					    "publish:2x", "publish:-1", ":1"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(crash_init(&crash, wrong[i], &error));
}

// How many passes of "publish" a child survives.
static int passes_survived(const char *text)
{
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	if (child == 0) {
		struct crash crash;
		if (!crash_init(&crash, text, NULL))
			_exit(1);
		for (int i = 0; i < 5; i++) {
			crash_here(&crash, CRASH_STORED);
			crash_here(&crash, CRASH_PUBLISH);
			crash_here(NULL, CRASH_PUBLISH);
			if (write(pipes[1], "x", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	int status = 0;
	char passes[8];
	(void)close(pipes[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	ssize_t count = read(pipes[0], passes, sizeof(passes));
	(void)close(pipes[0]);
	assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
	assert_true((count == 5) == WIFEXITED(status));
	return (int)count;
}

static void dies_at_the_chosen_pass(void **state)
{
	assert_int_equal(passes_survived("publish"), 0);
	assert_int_equal(passes_survived("publish:3"), 2);
	assert_int_equal(passes_survived("publish:6"), 5);
	assert_int_equal(passes_survived("puback"), 5);
	assert_int_equal(passes_survived(""), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_points_and_passes),
		cmocka_unit_test(dies_at_the_chosen_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
