#include "tools/supervisor.h"

#include "common/clock.h"
#include "tests/unit/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 300000

static struct stack stack_in(void **state)
{
	struct scratch *scratch = *state;
	struct stack stack = {0};
	struct error error;
	(void)snprintf(stack.root, sizeof(stack.root), "%s", scratch->folder);
	assert_true(file_mkdirs(stack_path(&stack, "run").text, 0700, &error));
	assert_true(file_mkdirs(stack_path(&stack, "log").text, 0700, &error));
	assert_true(file_mkdirs(stack_path(&stack, "conf").text, 0700, &error));
	return stack;
}

static struct part_spec shell(const char *name, const char *script, char *argv[4])
{
	argv[0] = (char *)"/bin/sh";
	argv[1] = (char *)"-c";
	argv[2] = (char *)script;
	argv[3] = NULL;
	return (struct part_spec){.name = name, .argv = argv, .stop_signal = SIGTERM, .orphan_signal = SIGKILL};
}

static struct supervisor *begin(const struct stack *stack)
{
	struct error error = {0};
	struct supervisor *supervisor = supervisor_new(stack, &error);
	if (!supervisor)
		fail_msg("%s", error.what);
	supervisor_publish(supervisor, json_new_object(), "starting");
	return supervisor;
}

static int64_t part_number(const struct stack *stack, const char *name, const char *member)
{
	struct error error;
	auto_json struct json *facts = stack_status(stack, &error);
	const struct json *parts = json_member(facts, "parts");
	for (size_t i = 0; i < json_array_length(parts); i++) {
		const char *part = NULL;
		int64_t value = -1;
		if (json_member_string(json_array_at(parts, i), "name", &part) && strcmp(part, name) == 0 &&
		    json_member_int(json_array_at(parts, i), member, &value))
			return value;
	}
	return -1;
}

// Turns until the part's log has so many bytes; supervisor NULL: it is another process.
static void wait_log(struct supervisor *supervisor, const struct stack *stack, const char *part, off_t bytes)
{
	struct stack_path log = stack_path(stack, "log/%s.log", part);
	struct stat info = {0};
	int64_t deadline = clock_mono_ms() + DEADLINE_MS;
	while ((stat(log.text, &info) != 0 || info.st_size < bytes) && clock_mono_ms() < deadline) {
		if (supervisor)
			assert_true(supervisor_turn(supervisor, 20));
		else
			(void)usleep(10000);
	}
	assert_true(info.st_size >= bytes);
}

static bool gone(pid_t pid)
{
	return kill(pid, 0) != 0 && errno == ESRCH;
}

static void a_killed_part_is_started_again(void **state)
{
	struct stack stack = stack_in(state);
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = begin(&stack);
	char *argv[4];
	struct error error;
	const struct part_spec spec = shell("sleeper", "echo begun; exec sleep 600", argv);
	assert_true(supervisor_start(supervisor, &spec, &error));
	wait_log(supervisor, &stack, "sleeper", 6);
	pid_t first = (pid_t)part_number(&stack, "sleeper", "pid");
	assert_true(first > 0);
	assert_int_equal(kill(first, SIGKILL), 0);
	int64_t deadline = clock_mono_ms() + DEADLINE_MS;
	while (part_number(&stack, "sleeper", "restarts") < 1 && clock_mono_ms() < deadline)
		assert_true(supervisor_turn(supervisor, 50));
	pid_t second = (pid_t)part_number(&stack, "sleeper", "pid");
	assert_true(second > 0 && second != first);
	assert_int_equal(part_number(&stack, "sleeper", "restarts"), 1);
	wait_log(supervisor, &stack, "sleeper", 12);
	supervisor_stop(supervisor);
	assert_true(gone(second));
	char *log auto_free = file_read(stack_path(&stack, "log/sleeper.log").text, 1000, NULL, &error);
	assert_string_equal(log, "begun\nbegun\n");
}

static void readiness_counts_from_the_process_itself_only(void **state)
{
	struct stack stack = stack_in(state);
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = begin(&stack);
	static const char send[] = "import os, socket, sys, time\n"
				   "def say():\n"
				   "    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
				   "    s.sendto(b'STATUS=x\\nREADY=1\\n', os.environ['NOTIFY_SOCKET'])\n"
				   "child = os.fork()\n"
				   "if child == 0:\n"
				   "    say()\n"
				   "    os._exit(0)\n"
				   "os.waitpid(child, 0)\n"
				   "if sys.argv[1] == 'self':\n"
				   "    say()\n"
				   "time.sleep(600)\n";
	char *own[] = {(char *)"/usr/bin/python3", (char *)"-c", (char *)send, (char *)"self", NULL};
	char *foreign[] = {(char *)"/usr/bin/python3", (char *)"-c", (char *)send, (char *)"other", NULL};
	struct part_spec spec = {
		.name = "own", .argv = own, .stop_signal = SIGTERM, .orphan_signal = SIGKILL, .notifies = true};
	struct error error = {0};
	assert_true(supervisor_start(supervisor, &spec, &error));
	if (!supervisor_wait_ready(supervisor, DEADLINE_MS, &error))
		fail_msg("%s", error.what);
	spec.name = "foreign";
	spec.argv = foreign;
	assert_true(supervisor_start(supervisor, &spec, &error));
	assert_false(supervisor_wait_ready(supervisor, 1500, &error));
	assert_int_equal(error.kind, ERROR_TIMEOUT);
	assert_string_equal(error.where, "foreign");
}

static void an_early_end_is_told_with_its_part(void **state)
{
	struct stack stack = stack_in(state);
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = begin(&stack);
	char *argv[4];
	struct error error = {0};
	struct part_spec spec = shell("broken", "echo why >&2; exit 3", argv);
	spec.notifies = true;
	assert_true(supervisor_start(supervisor, &spec, &error));
	assert_false(supervisor_wait_ready(supervisor, DEADLINE_MS, &error));
	assert_string_equal(error.where, "broken");
	assert_string_equal(error.what, "broken ended with exit code 3");
	char *log auto_free = file_read(stack_path(&stack, "log/broken.log").text, 1000, NULL, &error);
	assert_string_equal(log, "why\n");
}

static void what_runs_once_gives_its_exit_code(void **state)
{
	struct stack stack = stack_in(state);
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = begin(&stack);
	char *argv[4];
	struct error error = {0};
	struct part_spec spec = shell("good", "exit 0", argv);
	spec.once = true;
	assert_true(supervisor_start(supervisor, &spec, &error));
	assert_true(supervisor_wait_end(supervisor, "good", DEADLINE_MS, &error));
	spec = shell("bad", "kill -9 $$", argv);
	spec.once = true;
	assert_true(supervisor_start(supervisor, &spec, &error));
	assert_false(supervisor_wait_end(supervisor, "bad", DEADLINE_MS, &error));
	assert_non_null(strstr(error.what, "signal 9"));
}

static void stopping_goes_from_the_highest_stage_down(void **state)
{
	struct stack stack = stack_in(state);
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = begin(&stack);
	char *argv[4];
	char *script[3] = {NULL, NULL, NULL};
	static const char *const names[] = {"zero", "one", "two"};
	struct error error = {0};
	for (int stage = 0; stage < 3; stage++) {
		assert_true(asprintf(&script[stage],
				     "trap 'echo %s >>%s/order; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
				     names[stage], stack.root) > 0);
		struct part_spec spec = shell(names[stage], script[stage], argv);
		spec.stage = stage;
		assert_true(supervisor_start(supervisor, &spec, &error));
	}
	for (int stage = 0; stage < 3; stage++)
		wait_log(supervisor, &stack, names[stage], 6);
	supervisor_stop(supervisor);
	char *order auto_free = file_read(stack_path(&stack, "order").text, 100, NULL, &error);
	assert_string_equal(order, "two\none\nzero\n");
	for (int stage = 0; stage < 3; stage++)
		free(script[stage]);
}

static void a_signal_asks_for_the_end(void **state)
{
	struct stack stack = stack_in(state);
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = begin(&stack);
	assert_true(supervisor_turn(supervisor, 0));
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	assert_false(supervisor_turn(supervisor, DEADLINE_MS));
}

// The supervisor as a process of its own, which is killed as nobody can catch.
static void nothing_outlives_a_killed_supervisor(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	pid_t child = fork();
	if (child == 0) {
		char *argv[4];
		struct supervisor *supervisor = supervisor_new(&stack, &error);
		const struct part_spec spec = shell("sleeper", "trap '' TERM; sleep 600 & echo begun; wait", argv);
		if (!supervisor || !supervisor_start(supervisor, &spec, &error))
			_exit(1);
		supervisor_publish(supervisor, json_new_object(), "ready");
		while (supervisor_turn(supervisor, -1))
			;
		_exit(0);
	}
	wait_log(NULL, &stack, "sleeper", 6);
	int64_t deadline = clock_mono_ms() + DEADLINE_MS;
	while (part_number(&stack, "sleeper", "pid") <= 0 && clock_mono_ms() < deadline)
		(void)usleep(10000);
	pid_t part = (pid_t)part_number(&stack, "sleeper", "pid");
	assert_true(part > 0);
	assert_int_equal(stack_supervisor(&stack), child);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while (!gone(part) && clock_mono_ms() < deadline)
		(void)usleep(10000);
	assert_true(gone(part));
	assert_int_equal(stack_supervisor(&stack), 0);
	// The shell's own child holds the lock: the next start waits for it, and says so when it does not go.
	int hold = -1;
	assert_false(stack_hold(&stack, 100, &hold, &error));
	assert_int_equal(error.kind, ERROR_TIMEOUT);
	assert_true(kill(-part, SIGKILL) == 0);
	assert_true(stack_hold(&stack, DEADLINE_MS, &hold, &error));
	(void)close(hold);
}

static void only_one_runs_in_a_folder(void **state)
{
	struct stack stack = stack_in(state);
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = begin(&stack);
	pid_t child = fork();
	if (child == 0) {
		struct error error = {0};
		_exit(supervisor_new(&stack, &error) == NULL && error.kind == ERROR_EXISTS ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_killed_part_is_started_again),
		TEST(readiness_counts_from_the_process_itself_only),
		TEST(an_early_end_is_told_with_its_part),
		TEST(what_runs_once_gives_its_exit_code),
		TEST(stopping_goes_from_the_highest_stage_down),
		TEST(a_signal_asks_for_the_end),
		TEST(nothing_outlives_a_killed_supervisor),
		TEST(only_one_runs_in_a_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
