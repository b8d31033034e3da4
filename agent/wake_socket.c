#include "agent/wake_socket.h"


#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_MS 1000
#define ANSWER_TIMEOUT_S 5
#define BACKLOG 8

static bool address_of(const char *path, struct sockaddr_un *out, struct error *error)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(out->sun_path))
		return error_set(error, ERROR_INVALID,
				 "%.200s is longer than the %zu bytes that a socket's path may have: "
				 "set wake.socket to a shorter one",
				 path, sizeof(out->sun_path) - 1);
	(void)snprintf(out->sun_path, sizeof(out->sun_path), "%s", path);
	return true;
}

void wake_socket_init(struct wake_socket *wake, const struct wake_handlers *handlers)
{
	*wake = (struct wake_socket){.listener = -1, .client = -1, .handlers = *handlers};
}

static void hang_up(struct wake_socket *wake)
{
	close_cleanup(&wake->client);
	wake->client = -1;
	wake->line_bytes = 0;
}

void wake_socket_done(struct wake_socket *wake)
{
	hang_up(wake);
	if (wake->listener >= 0)
		(void)unlink(wake->path);
	close_cleanup(&wake->listener);
	wake->listener = -1;
}

bool wake_socket_open(struct wake_socket *wake, const char *path, mode_t mode, struct error *error)
{
	struct sockaddr_un address;
	if (!address_of(path, &address, error))
		return false;
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(error, errno, "cannot make a socket");
	if (unlink(path) != 0 && errno != ENOENT)
		return error_errno(error, errno, "cannot remove the old %s", path);
	// Nobody gets in before listen, when the mode is as it should be.
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || chmod(path, mode) != 0 ||
	    listen(fd, BACKLOG) != 0)
		return error_errno(error, errno, "cannot listen on %s", path);
	(void)snprintf(wake->path, sizeof(wake->path), "%s", address.sun_path);
	wake->listener = steal_fd(fd);
	return true;
}

int wake_socket_fd(const struct wake_socket *wake)
{
	return wake->client >= 0 ? wake->client : wake->listener;
}

int wake_socket_timeout_ms(const struct wake_socket *wake, int64_t now_ms)
{
	if (wake->client < 0)
		return -1;
	return wake->deadline_ms > now_ms ? (int)(wake->deadline_ms - now_ms) : 0;
}

// The answer fits any socket's buffer; whoever does not read it loses it.
static void answer(struct wake_socket *wake, const char *text)
{
	(void)send(wake->client, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	hang_up(wake);
}

static void obey(struct wake_socket *wake)
{
	static const char verb[] = "push-token";
	const struct wake_handlers *handlers = &wake->handlers;
	const char *token = wake->line + strlen(verb);
	struct error error = {0};
	if (strcmp(wake->line, "wake") == 0) {
		handlers->wake(handlers->user);
		answer(wake, "ok\n");
		return;
	}
	if (strncmp(wake->line, verb, strlen(verb)) != 0 || (*token != '\0' && *token != ' ')) {
		answer(wake, "error say wake, or push-token and the token\n");
		return;
	}
	token += strspn(token, " ");
	if (*token && !push_token_ok(token)) {
		answer(wake, "error that is no push token\n");
	} else if (handlers->push_token(handlers->user, token, &error)) {
		answer(wake, "ok\n");
	} else {
		char text[sizeof(error.what) + 16];
		(void)snprintf(text, sizeof(text), "error %s\n", error.what);
		answer(wake, text);
	}
}

static void read_line(struct wake_socket *wake)
{
	ssize_t got = recv(wake->client, wake->line + wake->line_bytes, WAKE_LINE_MAX - wake->line_bytes, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		hang_up(wake);
		return;
	}
	wake->line_bytes += (size_t)got;
	char *end = memchr(wake->line, '\n', wake->line_bytes);
	if (end) {
		*end = '\0';
		obey(wake);
	} else if (wake->line_bytes == WAKE_LINE_MAX) {
		answer(wake, "error that line is too long\n");
	}
}

void wake_socket_poll(struct wake_socket *wake, int64_t now_ms)
{
	if (wake->client < 0 && wake->listener >= 0) {
		wake->client = accept4(wake->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		wake->deadline_ms = now_ms + CLIENT_TIMEOUT_MS;
	}
	if (wake->client >= 0)
		read_line(wake);
	if (wake->client >= 0 && now_ms >= wake->deadline_ms)
		hang_up(wake);
}

// ---- the other side ----

static bool say_line(int fd, const char *line, struct error *error)
{
	char text[WAKE_LINE_MAX + 2];
	int bytes = snprintf(text, sizeof(text), "%s\n", line);
	if (bytes < 0 || (size_t)bytes >= sizeof(text))
		return error_set(error, ERROR_LIMIT, "more than the agent takes in a line");
	return send(fd, text, (size_t)bytes, MSG_NOSIGNAL) == bytes ||
	       error_errno(error, errno, "cannot speak to the agent");
}

bool wake_socket_ask(const char *path, const char *line, struct error *error)
{
	const struct timeval limit = {.tv_sec = ANSWER_TIMEOUT_S};
	struct sockaddr_un address;
	char text[512];
	if (!address_of(path, &address, error))
		return false;
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
		return error_errno(error, errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return error_set(error, ERROR_UNREACHABLE,
					 "no agent listens on %s: start it with muster-agent run", path);
		return error_errno(error, errno, "cannot reach the agent at %s", path);
	}
	if (!say_line(fd, line, error))
		return false;
	ssize_t got = recv(fd, text, sizeof(text) - 1, MSG_WAITALL);
	if (got <= 0)
		return error_set(error, ERROR_TIMEOUT, "the agent did not answer within %d s", ANSWER_TIMEOUT_S);
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, "ok") == 0 ||
	       error_set(error, ERROR_FAILED, "the agent says: %s", text + (strncmp(text, "error ", 6) == 0 ? 6 : 0));
}
