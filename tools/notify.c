#include "tools/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAM_MAX_BYTES 4096

int notify_open(const char *path, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int on = 1;
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (strlen(path) >= sizeof(address.sun_path)) {
		error_set(error, ERROR_LIMIT, "%s is too long for a socket", path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	(void)unlink(path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    setenv("NOTIFY_SOCKET", path, 1) != 0) {
		error_errno(error, errno, "cannot listen on %s", path);
		return -1;
	}
	return steal_fd(fd);
}

static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);
	for (const char *at = text; (at = strstr(at, line)); at += length) {
		if ((at == text || at[-1] == '\n') && (at[length] == '\0' || at[length] == '\n'))
			return true;
	}
	return false;
}

bool notify_next(int fd, pid_t *sender, bool *ready)
{
	char text[DATAGRAM_MAX_BYTES + 1];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec data = {.iov_base = text, .iov_len = DATAGRAM_MAX_BYTES};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	if (got < 0)
		return false;
	text[got] = '\0';
	*sender = 0;
	*ready = has_line(text, "READY=1");
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
			struct ucred credentials;
			memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
			*sender = credentials.pid;
		}
	}
	return true;
}
