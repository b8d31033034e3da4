#include "agent/wake_socket.h"

#include "common/clock.h"
#include "tests/unit/scratch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct heard {
	struct wake_socket wake;
	int wakes;
	char token[PUSH_TOKEN_MAX + 1];
	bool refuse;
	char *path;
};

static struct heard heard;

static void on_wake(void *user)
{
	((struct heard *)user)->wakes++;
}

static bool on_token(void *user, const char *token, struct error *error)
{
	struct heard *mine = user;

	if (mine->refuse)
		return error_set(error, ERROR_FAILED, "no room on the disk");
	(void)snprintf(mine->token, sizeof(mine->token), "%s", token);
	return true;
}

static int setup(void **state)
{
	const struct wake_handlers handlers = {on_wake, on_token, &heard};
	struct error error = {0};

	memset(&heard, 0, sizeof(heard));
	if (scratch_setup(state) != 0)
		return -1;
	heard.path = scratch_path(state, "wake.sock");
	wake_socket_init(&heard.wake, &handlers);
	return wake_socket_open(&heard.wake, heard.path, 0600, &error) ? 0 : -1;
}

static int teardown(void **state)
{
	wake_socket_done(&heard.wake);
	assert_false(file_exists(heard.path));
	free(heard.path);
	return scratch_teardown(state);
}

struct question {
	const char *line;
	bool ok;
	struct error error;
};

static void *ask(void *user)
{
	struct question *question = user;

	question->ok = wake_socket_ask(heard.path, question->line, &question->error);
	return NULL;
}

static struct question asked(const char *line)
{
	struct question question = {.line = line};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask, &question), 0);
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		struct pollfd watch = {.fd = wake_socket_fd(&heard.wake), .events = POLLIN};

		(void)poll(&watch, 1, 10);
		wake_socket_poll(&heard.wake, clock_mono_ms());
	}
	return question;
}

static void takes_wakes_and_tokens(void **state)
{
	struct stat status;

	assert_int_equal(stat(heard.path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_true(asked("wake").ok);
	assert_true(asked("wake").ok);
	assert_int_equal(heard.wakes, 2);
	assert_true(asked("push-token dQw:APA91b-x").ok);
	assert_string_equal(heard.token, "dQw:APA91b-x");
	assert_true(asked("push-token").ok);
	assert_string_equal(heard.token, "");
}

static void says_what_is_wrong(void **state)
{
	static char longest[WAKE_LINE_MAX + 1];
	struct question question = asked("reboot");

	assert_false(question.ok);
	assert_non_null(strstr(question.error.what, "say wake"));
	assert_false(asked("push-tokens x").ok);
	question = asked("push-token a b");
	assert_non_null(strstr(question.error.what, "no push token"));
	heard.refuse = true;
	question = asked("push-token a");
	assert_non_null(strstr(question.error.what, "no room on the disk"));
	memset(longest, 'a', WAKE_LINE_MAX);
	question = asked(longest);
	assert_false(question.ok);
	assert_int_equal(heard.wakes, 0);
}

static int connected(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", heard.path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void who_says_nothing_does_not_keep_the_others_out(void **state)
{
	int silent = connected();
	int64_t now_ms = clock_mono_ms();
	char byte;

	wake_socket_poll(&heard.wake, now_ms);
	assert_int_equal(wake_socket_timeout_ms(&heard.wake, now_ms), 1000);
	assert_int_equal(send(silent, "wa", 2, 0), 2);
	wake_socket_poll(&heard.wake, now_ms + 999);
	assert_int_equal(heard.wakes, 0);
	wake_socket_poll(&heard.wake, now_ms + 1000);
	assert_int_equal(recv(silent, &byte, 1, MSG_DONTWAIT), 0); // hung up
	assert_int_equal(wake_socket_timeout_ms(&heard.wake, now_ms), -1);
	assert_true(asked("wake").ok);
	(void)close(silent);
}

static void nobody_listens(void **state)
{
	struct error error = {0};
	char long_path[200];

	wake_socket_done(&heard.wake);
	assert_false(wake_socket_ask(heard.path, "wake", &error));
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_false(wake_socket_open(&heard.wake, long_path, 0600, &error));
	assert_non_null(strstr(error.what, "wake.socket"));
}

static void an_old_socket_makes_room(void **state)
{
	struct error error = {0};

	(void)close(heard.wake.listener); // as after SIGKILL: the file stays
	heard.wake.listener = -1;
	assert_true(file_exists(heard.path));
	assert_true(wake_socket_open(&heard.wake, heard.path, 0660, &error));
	assert_true(asked("wake").ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(takes_wakes_and_tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(says_what_is_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(who_says_nothing_does_not_keep_the_others_out, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
		cmocka_unit_test_setup_teardown(an_old_socket_makes_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
