#include "common/daemon.h"
#include "common/log.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

struct settings {
	char *host;
	long port;
	char *log_level;
};

static const struct config_option options[] = {
	{.name = "broker.host",
	 .type = CONFIG_STRING,
	 .offset = offsetof(struct settings, host),
	 .default_text = "localhost",
	 .description = "host name of the broker"},
	{.name = "broker.port",
	 .type = CONFIG_INT,
	 .offset = offsetof(struct settings, port),
	 .default_text = "8883",
	 .min = 1,
	 .max = 65535,
	 .description = "port of the broker"},
	{.name = "log_level",
	 .type = CONFIG_CHOICE,
	 .offset = offsetof(struct settings, log_level),
	 .default_text = LOG_LEVELS,
	 .description = "from which level on is logged"},
};
static const struct config_table table = {.program = "test", .options = options, .count = 3};
static struct settings settings;
static const struct daemon program = {.name = "muster-test", .summary = "Tests.", .table = &table, .config = &settings};

// Runs daemon_start with stdout and stderr going to a file, whose text it returns (malloc'd).
static char *start(void **state, bool *go_on, int *exit_code, const char *const *arguments)
{
	struct error error = {0};
	char *argv[8] = {(char *)"muster-test"};
	int argc = 1;
	for (; arguments[argc - 1]; argc++)
		argv[argc] = (char *)arguments[argc - 1];
	auto_free char *path = scratch_path(state, "output");
	(void)fflush(stdout);
	(void)fflush(stderr);
	int kept[2] = {dup(1), dup(2)};
	int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(out >= 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2);
	*exit_code = -1;
	*go_on = daemon_start(&program, argc, argv, exit_code);
	(void)fflush(stdout);
	(void)dup2(kept[0], 1);
	(void)dup2(kept[1], 2);
	(void)close(kept[0]);
	(void)close(kept[1]);
	(void)close(out);
	char *text = file_read(path, 1 << 16, NULL, &error);
	assert_non_null(text);
	return text;
}

#define START(state, go_on, exit_code, ...) start(state, go_on, exit_code, (const char *const[]){__VA_ARGS__, NULL})

static void test_information(void **state)
{
	bool go_on;
	int exit_code;
	char *help = START(state, &go_on, &exit_code, "--help");
	assert_false(go_on);
	assert_int_equal(exit_code, 0);
	assert_non_null(strstr(help, "--check-config"));
	assert_non_null(strstr(help, "broker.port"));
	free(help);

	char *version = START(state, &go_on, &exit_code, "--version");
	assert_int_equal(exit_code, 0);
	assert_string_equal(version, "muster-test " MUSTER_VERSION "\n");
	free(version);

	char *sample = START(state, &go_on, &exit_code, "--sample-config");
	assert_int_equal(exit_code, 0);
	assert_non_null(strstr(sample, "8883"));
	free(sample);
}

static void test_usage(void **state)
{
	static const char *const bad[][3] = {
		{"--unknown"}, {"stray"}, {"--log-level", "loud"}, {"--config"}, {"-x"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool go_on;
		int exit_code;
		free(start(state, &go_on, &exit_code, bad[i]));
		assert_false(go_on);
		assert_int_equal(exit_code, 2);
	}
}

static void test_configuration(void **state)
{
	bool go_on;
	int exit_code;
	char *good = scratch_write(state, "good.conf", "broker: { port = 1234; };\n", 0600);
	char *bad = scratch_write(state, "bad.conf", "broker: {\n port = 0;\n};\n", 0600);

	char *text = START(state, &go_on, &exit_code, "--config", good, "--check-config");
	assert_false(go_on);
	assert_int_equal(exit_code, 0);
	free(text);

	text = START(state, &go_on, &exit_code, "--config", bad);
	assert_false(go_on);
	assert_int_equal(exit_code, 1);
	assert_non_null(strstr(text, "bad.conf:2"));
	free(text);

	text = START(state, &go_on, &exit_code, "--config", "/nonexistent.conf", "--check-config");
	assert_int_equal(exit_code, 1);
	free(text);

	text = START(state, &go_on, &exit_code, "--config", good, "--log-level", "debug");
	assert_true(go_on);
	assert_int_equal(settings.port, 1234);
	assert_string_equal(settings.host, "localhost");
	assert_string_equal(text, "");
	config_done(&table, &settings);
	free(text);
	free(good);
	free(bad);
}

// What a line of each level leaves behind in the log of a program started so.
static void expect_lines(void **state, const char *const *arguments, const char *written, const char *left_out)
{
	bool go_on;
	int exit_code;
	struct error error = {0};
	free(start(state, &go_on, &exit_code, arguments));
	assert_true(go_on);
	auto_free char *path = scratch_path(state, "log");
	int kept = dup(2);
	int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(out >= 0 && dup2(out, 2) == 2);
	log_warn("line.warn");
	log_debug("line.debug");
	(void)dup2(kept, 2);
	(void)close(kept);
	(void)close(out);
	auto_free char *text = file_read(path, 1 << 16, NULL, &error);
	assert_non_null(text);
	assert_true(!written || strstr(text, written));
	assert_true(!left_out || !strstr(text, left_out));
	config_done(&table, &settings);
}

static void test_log_level(void **state)
{
	auto_free char *error_only = scratch_write(state, "level.conf", "log_level = \"error\";\n", 0600);
	expect_lines(state, (const char *const[]){NULL}, "line.warn", "line.debug");
	expect_lines(state, (const char *const[]){"--config", error_only, NULL}, NULL, "line.warn");
	expect_lines(state, (const char *const[]){"--config", error_only, "--log-level", "debug", NULL}, "line.debug",
		     NULL);

	auto_free char *bad = scratch_write(state, "bad-level.conf", "\nlog_level = \"loud\";\n", 0600);
	bool go_on;
	int exit_code;
	auto_free char *text = START(state, &go_on, &exit_code, "--config", bad, "--check-config");
	assert_int_equal(exit_code, 1);
	assert_non_null(strstr(text, "bad-level.conf:2"));
	assert_non_null(strstr(text, LOG_LEVELS));
}

static void notify_case(const char *variable, const struct sockaddr_un *address, socklen_t address_bytes)
{
	char text[128];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)address, address_bytes), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", variable, 1), 0);
	static const char *const expected[] = {"READY=1", "STATUS=12 devices", "STOPPING=1"};
	daemon_ready();
	daemon_status("12 devices");
	daemon_stopping();
	for (int i = 0; i < 3; i++) {
		ssize_t got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
		assert_true(got > 0);
		text[got] = '\0';
		assert_string_equal(text, expected[i]);
	}
	(void)close(fd);
	(void)unsetenv("NOTIFY_SOCKET");
}

static void test_notify(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char *path = scratch_path(state, "notify");
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	notify_case(path, &address, sizeof(address));

	char variable[64];
	(void)snprintf(variable, sizeof(variable), "@muster-test-%ld", (long)getpid());
	memset(address.sun_path, 0, sizeof(address.sun_path));
	memcpy(address.sun_path + 1, variable + 1, strlen(variable) - 1);
	notify_case(variable, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(variable)));
	free(path);
	daemon_ready(); // without a supervisor: nothing happens
}

static void test_signal_fd(void **state)
{
	struct error error = {0};
	struct signalfd_siginfo info;
	int fd = daemon_signal_fd(&error);
	assert_true(fd >= 0);
	assert_int_equal(raise(SIGTERM), 0);
	struct pollfd watch = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&watch, 1, PROCESS_DEADLINE_MS), 1);
	assert_int_equal(read(fd, &info, sizeof(info)), sizeof(info));
	assert_int_equal(info.ssi_signo, SIGTERM);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_information, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_usage, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_configuration, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_log_level, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(test_notify, scratch_setup, scratch_teardown),
		cmocka_unit_test(test_signal_fd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
