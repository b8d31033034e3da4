#include "agent/job.h"

#include "common/buf.h"
#include "common/clock.h"
#include "tests/unit/scratch.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define WORDS(...) ((char *const *)(const char *const[]){__VA_ARGS__, NULL}) // nobody writes into them

#define DEADLINE_MS 90000 // a second of processor time takes long on a loaded machine

struct outcome {
	char text[4096];
	int status;
};

static void run_to_end(struct job *job, struct outcome *out)
{
	int64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;
	size_t used = 0;
	bool ended = false;
	while (!ended || job->output_fd >= 0) {
		struct pollfd watch = {.fd = job->output_fd, .events = POLLIN};
		assert_true(clock_mono_ms() < deadline_ms);
		(void)poll(&watch, 1, 10);
		used += job_read(job, out->text + used, sizeof(out->text) - 1 - used);
		ended = ended || job_ended(job, &out->status);
	}
	out->text[used] = '\0';
	job_done(job);
}

static void start(struct job_options options, struct job *job)
{
	struct error error = {0};
	if (!job_start(&options, job, &error))
		fail_msg("%s", error.what);
}

static void sh(const char *script, struct job_options options, struct outcome *out)
{
	char *const *argv = WORDS("sh", "-c", script);
	struct job job;
	options.path = "/bin/sh";
	options.argv = argv;
	start(options, &job);
	run_to_end(&job, out);
}

static void words_stay_words(void **state)
{
	char *const *argv = WORDS("printf", "<%s>", "$(id)", "a;b", "`c` *", "\"q'", "", "-n");
	struct outcome out = {0};
	struct job job;
	start((struct job_options){.path = "/usr/bin/printf", .argv = argv}, &job);
	run_to_end(&job, &out);
	assert_string_equal(out.text, "<$(id)><a;b><`c` *><\"q'><><-n>");
	assert_int_equal(out.status, 0);
}

static void nothing_of_ours_is_handed_on(void **state)
{
	struct outcome out = {0};
	assert_int_equal(setenv("MUSTER_SECRET", "x", 1), 0);
	int fd = dup(1);
	sh("env | sort; pwd; ls /proc/self/fd | tr '\\n' ' '; grep -E 'SigBlk|SigIgn' /proc/self/status; cat",
	   (struct job_options){0}, &out);
	(void)close(fd);
	assert_null(strstr(out.text, "MUSTER_SECRET"));
	assert_non_null(strstr(out.text, "\nLANG=C.UTF-8\n"));
	assert_non_null(strstr(out.text, "\n/\n"));
	assert_non_null(strstr(out.text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
	assert_non_null(strstr(out.text, "0 1 2 3 ")); // 3: the folder that ls reads
	assert_null(strstr(out.text, "0 1 2 3 4"));
}

static void input_and_status_and_errors(void **state)
{
	struct outcome out = {0};
	sh("cat; echo oops >&2; exit 3", (struct job_options){.input = "hello\n"}, &out);
	assert_string_equal(out.text, "hello\noops\n");
	assert_true(WIFEXITED(out.status) && WEXITSTATUS(out.status) == 3);
}

static void what_cannot_run_says_why(void **state)
{
	struct error error = {0};
	struct job job = JOB_NONE;
	char *const *argv = WORDS("x");
	assert_false(job_start(&(struct job_options){.path = "/no/such", .argv = argv}, &job, &error));
	assert_string_equal(error.what, "cannot run /no/such: No such file or directory");
	assert_false(job_start(&(struct job_options){.path = "/etc/passwd", .argv = argv}, &job, &error));
	assert_non_null(strstr(error.what, "Permission denied"));
	assert_int_equal(job.pid, 0);
}

static void limits_hold(void **state)
{
	struct outcome out = {0};
	sh("ulimit -c; ulimit -n; ulimit -v; ulimit -t",
	   (struct job_options){.memory_max_bytes = 64 << 20, .cpu_max_s = 7}, &out);
	assert_string_equal(out.text, "0\n256\n65536\n7\n");
	sh("while :; do :; done", (struct job_options){.cpu_max_s = 1}, &out);
	assert_true(WIFSIGNALED(out.status));
	assert_true(WTERMSIG(out.status) == SIGXCPU || WTERMSIG(out.status) == SIGKILL);
}

// What it started in the background goes with it; what outlives us may leave something.
static void the_group_ends_with_it(void **state)
{
	struct outcome out = {0};
	sh("sleep 300 & echo $!", (struct job_options){0}, &out);
	pid_t left = (pid_t)strtol(out.text, NULL, 10);
	int64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/status", left);
	for (bool there = true; there;) {
		FILE *file auto_fclose = fopen(path, "r");
		char text[256] = "";
		assert_true(clock_mono_ms() < deadline_ms);
		there = file && fread(text, 1, sizeof(text) - 1, file) > 0 && !strstr(text, "State:\tZ");
	}
}

static void it_ends_when_told(void **state)
{
	struct outcome out = {0};
	struct job job;
	char *const *argv =
		WORDS("sh", "-c", "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.01; done");
	start((struct job_options){.path = "/bin/sh", .argv = argv}, &job);
	int64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;
	size_t used = 0;
	while (!strstr(out.text, "ready")) {
		assert_true(clock_mono_ms() < deadline_ms);
		used += job_read(&job, out.text + used, sizeof(out.text) - 1 - used);
	}
	job_signal(&job, SIGTERM);
	run_to_end(&job, &out);
	assert_non_null(strstr(out.text, "told\n")); // beside what the shell says of its sleep
	assert_int_equal(WEXITSTATUS(out.status), 9);
}

static void users(void **state)
{
	struct job_user user;
	struct error error = {0};
	char *folder auto_free = scratch_path(state, "etc");
	assert_int_equal(mkdir(folder, 0700), 0);
	free(scratch_write(state, "etc/passwd", "root:x:0:0::/:/bin/sh\nkiosk:x:1234:567::/:/bin/sh\n", 0600));
	const char *root = ((struct scratch *)*state)->folder;
	bool is_root = geteuid() == 0;
	assert_true(job_user_find(root, "kiosk", &user, &error));
	assert_int_equal(user.other, is_root);
	if (!is_root)
		return;
	assert_int_equal(user.uid, 1234);
	assert_int_equal(user.gid, 567);
	assert_true(job_user_find(root, "4321", &user, &error));
	assert_int_equal(user.uid, 4321);
	assert_false(job_user_find(root, "kios", &user, &error));
	assert_non_null(strstr(error.what, "no user \"kios\""));
	struct outcome out = {0};
	sh("id -u; id -g; id -G", (struct job_options){.user = {true, 1234, 567}}, &out);
	assert_string_equal(out.text, "1234\n567\n567\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(words_stay_words),   TEST(nothing_of_ours_is_handed_on), TEST(input_and_status_and_errors),
		TEST(limits_hold),        TEST(what_cannot_run_says_why),     TEST(the_group_ends_with_it),
		TEST(it_ends_when_told),  TEST(users),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
