#include "tools/stack.h"

#include "common/crypto.h"
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSTEM_USER "muster"
#define SYSTEM_STATE "/var/lib/muster" // where that user's folders go when it cannot reach the one asked for
#define COPY_CHUNK_BYTES (1 << 20)

struct identity {
	uid_t uid;
	gid_t gid;
};

// The owner of an existing folder, or the system user made for this.
static bool choose_user(const struct stack *stack, struct identity *who, struct error *error)
{
	struct stat info;
	if (stat(stack->root, &info) == 0 && info.st_uid != 0) {
		*who = (struct identity){info.st_uid, info.st_gid};
		return true;
	}
	const struct passwd *user = getpwnam(SYSTEM_USER); // NOLINT(concurrency-mt-unsafe): one thread
	if (!user)
		return error_set(error, ERROR_NOT_FOUND,
				 "the system user \"" SYSTEM_USER "\" is missing, and PostgreSQL "
				 "refuses to run as root");
	*who = (struct identity){user->pw_uid, user->pw_gid};
	return true;
}

static bool become(const struct identity *who)
{
	return setgroups(0, NULL) == 0 && setgid(who->gid) == 0 && setuid(who->uid) == 0;
}

// Tried, not computed: access lists, mount options and security modules have their say.
static bool can_enter(const char *path, const struct identity *who)
{
	pid_t child = fork();
	if (child == 0)
		_exit(become(who) && chdir(path) == 0 ? 0 : 1);
	int status = -1;
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

// Makes the folder, its owner being who. An empty one of root's is taken; one with contents is somebody else's.
static bool make_folder(const char *path, const struct identity *who, struct error *error)
{
	struct stat info;
	if (!file_mkdirs(path, 0700, error))
		return false;
	if (lstat(path, &info) != 0)
		return error_errno(error, errno, "cannot read %s", path);
	if (info.st_uid == who->uid)
		return true;
	if (rmdir(path) != 0 || mkdir(path, 0700) != 0)
		return error_errno(error, errno, "%s belongs to root and cannot be made anew", path);
	if (chown(path, who->uid, who->gid) != 0)
		return error_errno(error, errno, "cannot give %s to user %u", path, who->uid);
	return true;
}

// /root and many home folders are closed to other users: the state then lives below /var/lib and dir links to it.
static bool move_away(struct stack *stack, const struct identity *who, struct error *error)
{
	char hash[SHA256_HEX_BYTES];
	char link_path[STACK_PATH_MAX];
	(void)snprintf(link_path, sizeof(link_path), "%s", stack->root);
	crypto_sha256_hex(link_path, strlen(link_path), hash);
	if (!file_mkdirs(SYSTEM_STATE, 0755, error))
		return false;
	if (chmod(SYSTEM_STATE, 0755) != 0) // whatever the umask
		return error_errno(error, errno, "cannot open " SYSTEM_STATE " to other users");
	(void)snprintf(stack->root, sizeof(stack->root), SYSTEM_STATE "/%.8s", hash);
	if (!make_folder(stack->root, who, error))
		return false;
	if (rmdir(link_path) != 0 && errno != ENOENT)
		return error_errno(error, errno, "cannot replace %s by a link to %s", link_path, stack->root);
	if (symlink(stack->root, link_path) != 0)
		return error_errno(error, errno, "cannot link %s to %s", link_path, stack->root);
	(void)fprintf(
		stderr,
		"%s cannot be reached by the user that the stack runs as:\nits data is in %s, and %s links to it\n",
		link_path, stack->root, link_path);
	return true;
}

static bool copy_bytes(const char *from, const char *to, const struct stat *info, struct error *error)
{
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC);
	auto_close int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (in < 0 || out < 0)
		return error_errno(error, errno, "cannot copy %s to %s", from, to);
	for (;;) {
		ssize_t copied = sendfile(out, in, NULL, COPY_CHUNK_BYTES);
		if (copied < 0)
			return error_errno(error, errno, "cannot copy %s to %s", from, to);
		if (copied == 0)
			break;
	}
	// The time tells the next start that the copy is still the same.
	const struct timespec times[2] = {info->st_atim, info->st_mtim};
	if (fchmod(out, 0755) != 0 || futimens(out, times) != 0)
		return error_errno(error, errno, "cannot finish %s", to);
	return true;
}

static bool same_file(const struct stat *source, const char *to)
{
	struct stat copy;
	if (stat(to, &copy) != 0)
		return false;
	return copy.st_size == source->st_size && copy.st_mtim.tv_sec == source->st_mtim.tv_sec &&
	       copy.st_mtim.tv_nsec == source->st_mtim.tv_nsec;
}

// Written aside and renamed: a program that still runs keeps its old file.
static bool copy_program(const char *from_dir, const char *to_dir, const char *name, struct error *error)
{
	char from[2 * STACK_PATH_MAX];
	char to[2 * STACK_PATH_MAX];
	char aside[2 * STACK_PATH_MAX + 8];
	struct stat info;
	(void)snprintf(from, sizeof(from), "%s/%s", from_dir, name);
	(void)snprintf(to, sizeof(to), "%s/%s", to_dir, name);
	(void)snprintf(aside, sizeof(aside), "%s.new", to);
	if (stat(from, &info) != 0)
		return error_errno(error, errno, "cannot read %s", from);
	if (!S_ISREG(info.st_mode) || same_file(&info, to))
		return true;
	if (!copy_bytes(from, aside, &info, error))
		return false;
	if (rename(aside, to) != 0)
		return error_errno(error, errno, "cannot rename %s", aside);
	return true;
}

static bool copy_programs(const struct stack *stack, const struct identity *who, struct error *error)
{
	struct stack_path bin = stack_path(stack, "bin");
	if (strcmp(stack->bin, bin.text) == 0)
		return true;
	if (!make_folder(bin.text, who, error))
		return false;
	DIR *dir = opendir(stack->bin);
	if (!dir)
		return error_errno(error, errno, "cannot read %s", stack->bin);
	bool ok = true;
	const struct dirent *entry;
	while (ok && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, "muster") == 0 || strncmp(entry->d_name, "muster-", 7) == 0)
			ok = copy_program(stack->bin, bin.text, entry->d_name, error);
	}
	(void)closedir(dir);
	return ok;
}

static bool copy_all(const struct stack *stack, const struct identity *who, struct error *error)
{
	return copy_programs(stack, who, error) && make_folder(stack_path(stack, "agents").text, who, error) &&
	       stack_agents_copy(stack, error);
}

// Everything that root has to do.
static bool prepare(struct stack *stack, struct identity *who, struct error *error)
{
	if (!choose_user(stack, who, error))
		return false;
	auto_free char *parent = strdup(stack->root);
	if (!can_enter(dirname(parent), who))
		return move_away(stack, who, error) && copy_all(stack, who, error);
	return make_folder(stack->root, who, error) && copy_all(stack, who, error);
}

void stack_hand_over(struct stack *stack, int argc, char **argv, struct error *error)
{
	struct identity who = {0};
	auto_free char **arguments = calloc((size_t)argc + 3, sizeof(*arguments));
	if (!arguments) {
		error_errno(error, ENOMEM, "cannot start anew");
		return;
	}
	if (!prepare(stack, &who, error))
		return;
	memcpy(arguments, argv, (size_t)argc * sizeof(*argv));
	arguments[argc] = (char *)"--state"; // the last one given counts
	arguments[argc + 1] = stack->root;
	if (!become(&who)) {
		error_errno(error, errno, "cannot become user %u", who.uid);
		return;
	}
	if (setenv("HOME", stack->root, 1) != 0 || chdir(stack->root) != 0) {
		error_errno(error, errno, "cannot enter %s", stack->root);
		return;
	}
	struct stack_path program = stack_path(stack, "bin/muster");
	(void)execv(program.text, arguments);
	error_errno(error, errno, "cannot execute %s", program.text);
}
