#include "agent/unenroll.h"

#include "agent/lock.h"
#include "tests/unit/scratch.h"

#include <unistd.h>

static bool there(void **state, const char *name)
{
	char *path auto_free = scratch_path(state, name);
	return file_exists(path);
}

static void fill(void **state)
{
	static const char *const names[] = {"credential",   "credential.salt", "credential.next", "device.key",
					    "outbox.db",    "outbox.db-wal",   "counter.json",    "identity.json",
					    "credentials2", "notes.txt"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		free(scratch_write(state, names[i], "x", 0600));
}

static void wipes_what_is_ours(void **state)
{
	struct scratch *scratch = *state;
	const struct agent_options options = {.state_dir = scratch->folder};
	struct error error = {0};
	int wiped = 0;
	fill(state);
	assert_true(unenroll(&options, false, &wiped, &error));
	assert_int_equal(wiped, 8);
	assert_true(there(state, "notes.txt") && there(state, "credentials2"));
	assert_false(there(state, "credential") || there(state, "credential.salt") || there(state, "device.key") ||
		     there(state, "outbox.db-wal") || there(state, "identity.json"));
	assert_true(unenroll(&options, false, &wiped, &error));
	assert_int_equal(wiped, 0);
}

static void not_while_an_agent_runs(void **state)
{
	struct scratch *scratch = *state;
	const struct agent_options options = {.state_dir = scratch->folder};
	struct error error = {0};
	int wiped = 0;
	fill(state);
	int fd = lock_take(scratch->folder, &error);
	assert_false(unenroll(&options, false, &wiped, &error));
	assert_non_null(strstr(error.what, "nothing was wiped"));
	assert_true(there(state, "credential"));
	assert_true(unenroll(&options, true, &wiped, &error));
	assert_int_equal(wiped, 8);
	(void)close(fd);
	const struct agent_options nowhere = {.state_dir = (char *)"/nonexistent/muster"};
	assert_true(unenroll(&nowhere, false, &wiped, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(wipes_what_is_ours, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(not_while_an_agent_runs, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
