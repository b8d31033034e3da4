#include "agent/job.h"

#include "agent/platform.h"
#include "agent/system.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FAILURE_FD 3 // in the child: tells why it could not become the program

// ---- users ----

static bool parse_id(const char *text, uid_t *out)
{
	char *end = NULL;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || errno != 0 || *end || value > INT32_MAX)
		return false;
	*out = (uid_t)value;
	return true;
}

// "name:x:uid:gid:..."
static bool find_in_passwd(const char *text, const char *name, struct job_user *out)
{
	size_t name_bytes = strlen(name);
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		unsigned uid;
		unsigned gid;
		line += *line == '\n';
		if (strncmp(line, name, name_bytes) != 0 || line[name_bytes] != ':')
			continue;
		// NOLINTNEXTLINE(cert-err34-c): what does not fit is no system's
		if (sscanf(line + name_bytes, ":%*[^:]:%u:%u", &uid, &gid) != 2)
			return false;
		out->uid = uid;
		out->gid = gid;
		return true;
	}
	return false;
}

static bool find_on_android(const char *name, struct job_user *out)
{
	static const struct {
		const char *name;
		uid_t id;
	} users[] = {{"nobody", 9999}, {"shell", 2000}}; // system/core, android_filesystem_config.h
	for (size_t i = 0; i < COUNT(users); i++) {
		if (strcmp(users[i].name, name) == 0) {
			out->uid = users[i].id;
			out->gid = users[i].id;
			return true;
		}
	}
	return false;
}

bool job_user_find(const char *root, const char *name, struct job_user *out, struct error *error)
{
	*out = (struct job_user){.other = geteuid() == 0 && name};
	if (!out->other)
		return true;
	if (parse_id(name, &out->uid)) {
		out->gid = out->uid;
		return true;
	}
	char *passwd auto_free = system_read(root, "/etc/passwd");
	if ((passwd && find_in_passwd(passwd, name, out)) || (platform_is_android(root) && find_on_android(name, out)))
		return true;
	return error_set(error, ERROR_NOT_FOUND, "there is no user \"%s\" on this device: see run.user in its agent's "
			 "configuration", name);
}

// ---- starting ----

// Ours is not handed on. Android's own programs can't do without some of it.
static char **make_environment(void)
{
	static const char *const fixed[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/system/bin:/vendor/bin",
		"LANG=C.UTF-8",
		"HOME=/",
		"DEBIAN_FRONTEND=noninteractive",
	};
	static const char *const kept[] = {
		"ANDROID_ROOT",        "ANDROID_DATA",    "ANDROID_ART_ROOT",      "ANDROID_I18N_ROOT",
		"ANDROID_TZDATA_ROOT", "BOOTCLASSPATH",   "DEX2OATBOOTCLASSPATH",  "SYSTEMSERVERCLASSPATH",
	};
	char **environment = calloc(COUNT(fixed) + COUNT(kept) + 1, sizeof(*environment));
	size_t count = 0;
	if (!environment)
		abort();
	for (size_t i = 0; i < COUNT(fixed); i++)
		environment[count++] = strdup(fixed[i]);
	for (size_t i = 0; i < COUNT(kept); i++) {
		const char *value = getenv(kept[i]); // NOLINT(concurrency-mt-unsafe): one thread
		if (value && asprintf(&environment[count], "%s=%s", kept[i], value) > 0)
			count++;
	}
	return environment;
}

static void limit(int resource, int64_t most)
{
	const struct rlimit limits = {.rlim_cur = (rlim_t)most, .rlim_max = (rlim_t)most};
	if (most > 0 || resource == RLIMIT_CORE)
		(void)setrlimit((__rlimit_resource_t)resource, &limits);
}

static void all_signals_as_at_a_login(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool become(const struct job_user *user)
{
	return !user->other ||
	       (setgroups(0, NULL) == 0 && setresgid(user->gid, user->gid, user->gid) == 0 &&
		setresuid(user->uid, user->uid, user->uid) == 0);
}

// In the child: what it does between fork and execve, and no more. Does not come back.
static void turn_into(const struct job_options *options, char *const *environment, int input_fd, int output_fd,
		      int failure_fd)
{
	(void)setsid();
	all_signals_as_at_a_login();
	if (options->outlives)
		(void)signal(SIGPIPE, SIG_IGN); // its reader may be gone
	// Above those that they go to, so that none is overwritten before it is moved.
	int in = fcntl(input_fd, F_DUPFD, FAILURE_FD + 1);
	int out = fcntl(output_fd, F_DUPFD, FAILURE_FD + 1);
	int failure = fcntl(failure_fd, F_DUPFD, FAILURE_FD + 1);
	bool ok = dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2 &&
		  dup2(failure, FAILURE_FD) == FAILURE_FD && fcntl(FAILURE_FD, F_SETFD, FD_CLOEXEC) == 0 &&
		  chdir("/") == 0 && become(&options->user);
	closefrom(FAILURE_FD + 1);
	if (ok) {
		if (!options->outlives)
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		limit(RLIMIT_CORE, 0);
		limit(RLIMIT_NOFILE, JOB_FILES_MAX);
		limit(RLIMIT_CPU, options->cpu_max_s);
		limit(RLIMIT_AS, options->memory_max_bytes);
		(void)execve(options->path, options->argv, environment);
	}
	int code = errno;
	(void)!write(FAILURE_FD, &code, sizeof(code));
	_exit(127);
}

static int open_input(const char *text, struct error *error)
{
	int ends[2];
	if (!text) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			(void)error_errno(error, errno, "cannot open /dev/null");
		return fd;
	}
	if (strlen(text) > JOB_INPUT_MAX_BYTES) {
		(void)error_set(error, ERROR_LIMIT, "more than %d bytes of input", JOB_INPUT_MAX_BYTES);
		return -1;
	}
	if (pipe2(ends, O_CLOEXEC) < 0) {
		(void)error_errno(error, errno, "cannot make a pipe");
		return -1;
	}
	auto_close int write_end = ends[1];
	auto_close int read_end = ends[0];
	if (write(write_end, text, strlen(text)) != (ssize_t)strlen(text)) {
		(void)error_errno(error, errno, "cannot fill a pipe");
		return -1;
	}
	return steal_fd(read_end);
}

static void free_words(char ***words)
{
	for (char **word = *words; word && *word; word++)
		free(*word);
	free(*words);
}

bool job_start(const struct job_options *options, struct job *out, struct error *error)
{
	int ends[2];
	int failure[2];
	int code = 0;
	auto_close int input_fd = open_input(options->input, error);
	if (input_fd < 0)
		return false;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(error, errno, "cannot make a pipe");
	auto_close int output_read = ends[0];
	auto_close int output_write = ends[1];
	if (fcntl(output_read, F_SETFL, O_NONBLOCK) < 0 || pipe2(failure, O_CLOEXEC) < 0)
		return error_errno(error, errno, "cannot make a pipe");
	auto_close int failure_read = failure[0];
	auto_close int failure_write = failure[1];
	char **environment cleanup(free_words) = make_environment();
	pid_t pid = fork();
	if (pid < 0)
		return error_errno(error, errno, "cannot start a process");
	if (pid == 0)
		turn_into(options, environment, input_fd, output_write, failure_write);
	(void)close(steal_fd(failure_write));
	ssize_t got;
	while ((got = read(failure_read, &code, sizeof(code))) < 0 && errno == EINTR) {
	}
	if (got == (ssize_t)sizeof(code)) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
		}
		return error_errno(error, code, "cannot run %s", options->path);
	}
	*out = (struct job){
		.pid = pid,
		.exit_fd = pidfd_open(pid, 0),
		.output_fd = steal_fd(output_read),
		.outlives = options->outlives,
	};
	return true;
}

// ---- while it runs ----

size_t job_read(struct job *job, char *out, size_t max)
{
	while (job->output_fd >= 0) {
		ssize_t got = read(job->output_fd, out, max);
		if (got > 0)
			return (size_t)got;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return 0;
		(void)close(steal_fd(job->output_fd));
	}
	return 0;
}

void job_signal(const struct job *job, int signal)
{
	if (job->pid > 0)
		(void)kill(-job->pid, signal);
}

bool job_ended(struct job *job, int *status)
{
	siginfo_t info = {0};
	// It is looked at before it is reaped: until then its group's number cannot be another's.
	if (job->pid <= 0)
		return false;
	if (waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
		return false;
	if (!job->outlives)
		job_signal(job, SIGKILL);
	*status = W_EXITCODE(127, 0);
	while (waitpid(job->pid, status, 0) < 0 && errno == EINTR) {
	}
	job->pid = 0;
	if (job->exit_fd >= 0)
		(void)close(steal_fd(job->exit_fd));
	return true;
}

void job_done(struct job *job)
{
	int status = 0;
	if (job->pid > 0 && !job->outlives) {
		job_signal(job, SIGKILL);
		while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR) {
		}
	}
	if (job->exit_fd >= 0)
		(void)close(job->exit_fd);
	if (job->output_fd >= 0)
		(void)close(job->output_fd);
	*job = JOB_NONE;
}
