#include "tools/stack.h"

#include "common/clock.h"
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOLD_POLL_MS 20
#define DELETE_DEPTH_MAX 16
#define STATUS_MAX_BYTES ((size_t)64 * 1024)

static const char *const folders[] = {"conf", "ca",  "certs", "operators", "keys", "broker",
				      "run",  "log", "agent", "agents",	   "sim",  "exports", NULL};

struct stack_path stack_path(const struct stack *stack, const char *format, ...)
{
	struct stack_path path;
	int used = snprintf(path.text, sizeof(path.text), "%s/", stack->root);
	va_list args;
	va_start(args, format);
	(void)vsnprintf(path.text + used, sizeof(path.text) - (size_t)used, format, args);
	va_end(args);
	return path;
}

static bool program_folder(struct stack *stack, struct error *error)
{
	ssize_t length = readlink("/proc/self/exe", stack->bin, sizeof(stack->bin) - 1);
	if (length < 0)
		return error_errno(error, errno, "cannot read /proc/self/exe");
	stack->bin[length] = '\0';
	char *slash = strrchr(stack->bin, '/');
	if (slash)
		*slash = '\0';
	return true;
}

bool stack_resolve(struct stack *stack, const char *dir, struct error *error)
{
	if (!program_folder(stack, error))
		return false;
	if (!dir)
		dir = getenv("MUSTER_STATE");
	if (!dir || dir[0] == '\0')
		dir = ".muster";
	auto_free char *path = realpath(dir, NULL);
	if (!path && errno == ENOENT) {
		auto_free char *copy_for_parent = strdup(dir);
		auto_free char *copy_for_name = strdup(dir);
		auto_free char *parent = realpath(dirname(copy_for_parent), NULL);
		if (parent &&
		    asprintf(&path, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, basename(copy_for_name)) < 0)
			path = NULL;
	}
	if (!path)
		return error_errno(error, errno, "cannot use the state folder %s", dir);
	if (strlen(path) > STACK_ROOT_MAX)
		return error_set(error, ERROR_LIMIT,
				 "the path of the state folder %s is longer than %d bytes, too long for "
				 "the sockets in it",
				 path, STACK_ROOT_MAX);
	(void)snprintf(stack->root, sizeof(stack->root), "%s", path);
	return true;
}

bool stack_exists(const struct stack *stack)
{
	return file_exists(stack_path(stack, "run").text) && file_exists(stack_path(stack, "conf").text);
}

bool stack_become_owner(const struct stack *stack, struct error *error)
{
	struct stat info;
	if (geteuid() != 0)
		return true;
	if (stat(stack->root, &info) != 0)
		return error_errno(error, errno, "cannot read the state folder %s", stack->root);
	if (info.st_uid == 0)
		return true;
	if (setgroups(0, NULL) != 0 || setgid(info.st_gid) != 0 || setuid(info.st_uid) != 0)
		return error_errno(error, errno, "cannot become the owner (user %u) of %s", info.st_uid, stack->root);
	if (setenv("HOME", stack->root, 1) != 0 || chdir(stack->root) != 0)
		return error_errno(error, errno, "cannot enter %s", stack->root);
	return true;
}

bool stack_prepare(const struct stack *stack, struct error *error)
{
	struct stat info;
	if (!file_mkdirs(stack->root, 0700, error))
		return false;
	if (stat(stack->root, &info) != 0)
		return error_errno(error, errno, "cannot read %s", stack->root);
	if (info.st_uid != geteuid())
		return error_set(error, ERROR_DENIED, "the state folder %s belongs to user %u, not to you (%u)",
				 stack->root, info.st_uid, geteuid());
	if (chmod(stack->root, 0700) != 0)
		return error_errno(error, errno, "cannot set the mode of %s", stack->root);
	for (size_t i = 0; folders[i]; i++) {
		if (!file_mkdirs(stack_path(stack, "%s", folders[i]).text, 0700, error))
			return false;
	}
	if (chdir(stack->root) != 0)
		return error_errno(error, errno, "cannot enter %s", stack->root);
	return true;
}

// The lock's holder is asked of the kernel, so no process id is ever stale.
pid_t stack_supervisor(const struct stack *stack)
{
	auto_close int fd = open(stack_path(stack, "run/supervisor.pid").text, O_RDWR | O_CLOEXEC);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fd < 0 || fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

struct json *stack_status(const struct stack *stack, struct error *error)
{
	size_t length = 0;
	auto_free char *text = file_read(stack_path(stack, "run/up.json").text, STATUS_MAX_BYTES, &length, error);
	return text ? json_parse(text, length, error) : NULL;
}

bool stack_hold(const struct stack *stack, int timeout_ms, int *fd, struct error *error)
{
	struct stack_path path = stack_path(stack, "run/alive.lock");
	auto_close int lock = open(path.text, O_RDWR | O_CREAT, 0600); // NOLINT(android-cloexec-open): to be inherited
	if (lock < 0)
		return error_errno(error, errno, "cannot open %s", path.text);
	int64_t deadline = clock_mono_ms() + timeout_ms;
	while (flock(lock, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_errno(error, errno, "cannot lock %s", path.text);
		if (clock_mono_ms() >= deadline)
			return error_set(error, ERROR_TIMEOUT, "processes of this stack still run: see \"fuser %s\"",
					 path.text);
		(void)poll(NULL, 0, HOLD_POLL_MS);
	}
	*fd = steal_fd(lock);
	return true;
}

static bool delete_tree(int parent, const char *name, int depth, struct error *error)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return true;
	if (errno != EISDIR && errno != EPERM)
		return error_errno(error, errno, "cannot delete %s", name);
	if (depth == DELETE_DEPTH_MAX)
		return error_set(error, ERROR_LIMIT, "%s lies deeper than %d folders", name, DELETE_DEPTH_MAX);
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return error_errno(error, errno, "cannot read the folder %s", name);
	}
	bool ok = true;
	const struct dirent *entry;
	while (ok && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ok = delete_tree(dirfd(dir), entry->d_name, depth + 1, error);
	}
	(void)closedir(dir);
	if (ok && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return error_errno(error, errno, "cannot delete the folder %s", name);
	return ok;
}

bool stack_delete(const struct stack *stack, const char *dir, struct error *error)
{
	struct stat info;
	if (!delete_tree(AT_FDCWD, stack->root, 0, error))
		return false;
	if (!dir)
		dir = getenv("MUSTER_STATE");
	if (!dir || dir[0] == '\0')
		dir = ".muster";
	if (lstat(dir, &info) == 0 && S_ISLNK(info.st_mode) && unlink(dir) != 0)
		return error_errno(error, errno, "cannot delete the link %s", dir);
	return true;
}
