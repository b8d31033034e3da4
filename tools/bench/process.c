#include "tools/bench/process.h"

#include "common/clock.h"
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSTEM_USER "muster"
#define OTHER_USER "nobody"
#define GONE_TIMEOUT_MS 60000
#define POLL_MS 10
#define STAT_BYTES 4096
#define LOG_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define COPY_CHUNK_BYTES (1 << 20)
#define FILES_MAX 65536

// ---- the folder ----

static bool copy_program(const char *from_folder, const char *to_folder, const char *name, struct error *error)
{
	char path[STACK_PATH_MAX + 32];
	(void)snprintf(path, sizeof(path), "%s/%s", from_folder, name);
	auto_close int from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return error_errno(error, errno, "cannot read %s", path);
	(void)snprintf(path, sizeof(path), "%s/%s", to_folder, name);
	auto_close int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	ssize_t sent = to < 0 ? -1 : 1;
	while (sent > 0)
		sent = sendfile(to, from, NULL, COPY_CHUNK_BYTES);
	return sent == 0 || error_errno(error, errno, "cannot write %s", path);
}

// PostgreSQL refuses root, and its user need not reach the folder the programs are in.
static bool leave_root(struct stack *stack, struct error *error)
{
	static const char *const programs[] = {"muster-ingest", "muster-commander", "muster-bridge",
					       "muster-guard.so", "muster-agent",     "muster-agent-enroll",
					       "muster-dashboard"};
	const struct passwd *user = getpwnam(SYSTEM_USER); // NOLINT(concurrency-mt-unsafe): one thread
	if (!user)
		user = getpwnam(OTHER_USER); // NOLINT(concurrency-mt-unsafe): one thread
	if (!user)
		return error_set(error, ERROR_NOT_FOUND, "there is no unprivileged user to go on as");
	uid_t uid = user->pw_uid;
	gid_t gid = user->pw_gid;
	struct stack_path bin = stack_path(stack, "bin");
	if (mkdir(bin.text, 0755) != 0)
		return error_errno(error, errno, "cannot make %s", bin.text);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (!copy_program(stack->bin, bin.text, programs[i], error))
			return false;
	(void)snprintf(stack->bin, sizeof(stack->bin), "%s", bin.text);
	if (chown(stack->root, uid, gid) != 0 || chown(bin.text, uid, gid) != 0)
		return error_errno(error, errno, "cannot give %s away", stack->root);
	if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
		return error_errno(error, errno, "cannot become user %u", uid);
	return setenv("HOME", stack->root, 1) == 0 || error_errno(error, errno, "cannot set HOME");
}

// Everything that runs in the folder holds the lock that stack_hold took.
static void keep(const struct stack *stack, int alive)
{
	struct pollfd watch = {.fd = alive, .events = POLLIN};
	struct error ignored;
	int held = -1;
	(void)setsid();
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	while (poll(&watch, 1, -1) < 0 && errno == EINTR)
		;
	if (!stack_hold(stack, GONE_TIMEOUT_MS, &held, &ignored))
		_exit(1); // what still runs there is not ours to break
	_exit(chdir("/") == 0 && stack_delete(stack, stack->root, &ignored) ? 0 : 1);
}

static bool start_keeper(const struct stack *stack, struct process_keeper *keeper, struct error *error)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_errno(error, errno, "cannot make a pipe");
	keeper->pid = fork();
	if (keeper->pid < 0)
		return error_errno(error, errno, "cannot fork");
	if (keeper->pid == 0) {
		(void)close(ends[1]);
		keep(stack, ends[0]);
	}
	(void)close(ends[0]);
	keeper->alive = ends[1];
	return true;
}

static bool find_programs(struct stack *stack, struct error *error)
{
	ssize_t len_bytes = readlink("/proc/self/exe", stack->bin, sizeof(stack->bin) - 1);
	char *slash = len_bytes > 0 ? strrchr(stack->bin, '/') : NULL;
	if (!slash)
		return error_errno(error, errno, "cannot read /proc/self/exe");
	*slash = '\0';
	return true;
}

bool process_folder(struct stack *stack, struct process_keeper *keeper, struct error *error)
{
	const char *base = getenv("TMPDIR");
	struct rlimit files;
	if (!find_programs(stack, error))
		return false;
	// The broker and this program hold a descriptor for each connection.
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && (files.rlim_max < FILES_MAX || files.rlim_cur < FILES_MAX)) {
		files.rlim_cur = files.rlim_max < FILES_MAX && geteuid() != 0 ? files.rlim_max : FILES_MAX;
		files.rlim_max = files.rlim_max < files.rlim_cur ? files.rlim_cur : files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)snprintf(stack->root, sizeof(stack->root), "%s/muster-bench.XXXXXX", base && base[0] ? base : "/tmp");
	if (strlen(stack->root) > STACK_ROOT_MAX || !mkdtemp(stack->root))
		return error_errno(error, errno, "cannot make the folder %s", stack->root);
	if (geteuid() == 0 && !leave_root(stack, error)) {
		struct error ignored;
		(void)!stack_delete(stack, stack->root, &ignored);
		return false;
	}
	struct stack_path run = stack_path(stack, "run");
	if (mkdir(run.text, 0700) != 0)
		return error_errno(error, errno, "cannot make %s", run.text);
	// The lock is kept to the end, also by all children.
	return start_keeper(stack, keeper, error) && stack_hold(stack, 0, &keeper->lock, error);
}

void process_keeper_end(struct process_keeper *keeper)
{
	if (keeper->pid <= 0)
		return;
	if (keeper->lock >= 0)
		(void)close(keeper->lock);
	(void)close(keeper->alive);
	while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*keeper = (struct process_keeper){.alive = -1, .lock = -1};
}

// ---- processes ----

static void die_with(int signal, pid_t parent)
{
	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, signal) != 0 || getppid() != parent)
		_exit(126);
}

pid_t process_start(const struct stack *stack, const char *name, char *const *argv, int orphan_signal,
		    struct error *error)
{
	struct stack_path path = stack_path(stack, "log/%s.log", name);
	auto_close int log = open(path.text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0) {
		error_errno(error, errno, "cannot open %s", path.text);
		return 0;
	}
	pid_t parent = getpid();
	pid_t child = fork();
	if (child < 0) {
		error_errno(error, errno, "cannot start %s", name);
		return 0;
	}
	if (child > 0)
		return child;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	die_with(orphan_signal, parent);
	if (null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO && dup2(log, STDOUT_FILENO) == STDOUT_FILENO &&
	    dup2(log, STDERR_FILENO) == STDERR_FILENO)
		(void)execv(argv[0], argv);
	_exit(127);
}

pid_t process_fork(struct error *error)
{
	pid_t parent = getpid();
	pid_t child = fork();
	if (child < 0)
		error_errno(error, errno, "cannot fork");
	if (child == 0)
		die_with(SIGKILL, parent);
	return child;
}

void process_stop(pid_t *pid, int signal, int timeout_ms)
{
	int64_t deadline_ms = clock_mono_ms() + timeout_ms;
	if (*pid <= 0)
		return;
	(void)kill(*pid, signal);
	while (waitpid(*pid, NULL, WNOHANG) == 0) {
		if (clock_mono_ms() >= deadline_ms)
			(void)kill(*pid, SIGKILL);
		(void)poll(NULL, 0, POLL_MS);
	}
	*pid = 0;
}

bool process_failed(const struct stack *stack, const char *name, struct error *error)
{
	struct error unread;
	auto_free char *log = file_read(stack_path(stack, "log/%s.log", name).text, LOG_MAX_BYTES, NULL, &unread);
	size_t len_bytes = log ? strlen(log) : 0;
	while (len_bytes > 0 && log[len_bytes - 1] == '\n')
		log[--len_bytes] = '\0';
	const char *line = len_bytes > 0 ? strrchr(log, '\n') : NULL;
	return error_set(error, ERROR_FAILED, "%s ended: %.400s", name, line ? line + 1 : log ? log : "");
}

// ---- use (proc(5)) ----

struct process_times {
	pid_t parent;
	double own_s, children_s;
};

static bool read_times(pid_t pid, struct process_times *out)
{
	char path[64];
	char text[STAT_BYTES];
	unsigned long user, system;
	long user_of_children, system_of_children;
	int parent;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (got <= 0)
		return false;
	text[got] = '\0';
	const char *after_name = strrchr(text, ')');
	// NOLINTNEXTLINE(cert-err34-c): the kernel writes it
	if (!after_name || sscanf(after_name + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
				  &parent, &user, &system, &user_of_children, &system_of_children) != 5)
		return false;
	double tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK);
	out->parent = parent;
	out->own_s = (double)(user + system) * tick_s;
	out->children_s = (double)(user_of_children + system_of_children) * tick_s;
	return true;
}

double process_cpu_s(pid_t pid)
{
	struct process_times times;
	return pid > 0 && read_times(pid, &times) ? times.own_s : 0;
}

double process_family_cpu_s(pid_t pid)
{
	struct process_times times;
	if (pid <= 0 || !read_times(pid, &times))
		return 0;
	double sum_s = times.own_s + times.children_s;
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		pid_t other = (pid_t)strtol(entry->d_name, NULL, 10);
		if (other > 0 && read_times(other, &times) && times.parent == pid)
			sum_s += times.own_s;
	}
	if (dir)
		(void)closedir(dir);
	return sum_s;
}

int64_t process_peak_bytes(pid_t pid)
{
	char path[64];
	char line[256];
	long kib = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	auto_fclose FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	return (int64_t)kib * 1024;
}
