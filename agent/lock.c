#include "agent/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

int lock_take(const char *state_dir, struct error *error)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/lock", state_dir);
	int fd auto_close = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		(void)error_errno(error, errno, "cannot open %s", path);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return steal_fd(fd);
	if (errno == EWOULDBLOCK)
		(void)error_set(error, ERROR_EXISTS, "an agent runs with %s already: stop it first", state_dir);
	else
		(void)error_errno(error, errno, "cannot lock %s", path);
	return -1;
}

bool lock_held(const char *state_dir)
{
	struct error error = {0};
	int fd auto_close = lock_take(state_dir, &error);
	return fd < 0 && error.kind == ERROR_EXISTS;
}
