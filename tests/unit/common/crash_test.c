#include "common/crash.h"

#include "tests/unit/scratch.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct crash_name names[] = {{"first", 1}, {"second", 2}};

static void reads_points_and_passes(void **state)
{
	static const char *const wrong[] = {"third", "first:", "first:0", "first:x", "firs", ":1"};
	struct error error = {0};
	struct crash crash;
	assert_true(crash_choose(&crash, NULL, names, 2, &error));
	assert_int_equal(crash.at, 0);
	assert_true(crash_choose(&crash, "second:12", names, 2, &error));
	assert_int_equal(crash.at, 2);
	assert_int_equal(crash.passes_left, 12);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(crash_choose(&crash, wrong[i], names, 2, &error));
	assert_false(crash_choose(&crash, "third", names, 2, &error));
	assert_string_equal(error.what, "MUSTER_CRASH_AT=third: no such point; there are first, second");
}

static void dies_at_the_chosen_pass(void **state)
{
	struct crash crash;
	int status = 0;
	assert_true(crash_choose(&crash, "second:2", names, 2, NULL));
	pid_t child = fork();
	if (child == 0) {
		crash_here(&crash, 1);
		crash_here(NULL, 2);
		crash_here(&crash, 2);
		if (crash.passes_left == 1)
			crash_here(&crash, 2);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_points_and_passes),
		cmocka_unit_test(dies_at_the_chosen_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
