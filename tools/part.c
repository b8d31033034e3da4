#include "tools/part.h"

#include "common/buf.h"
#include "common/clock.h"
#include "tools/log_text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_MAX_BYTES (8L * 1024 * 1024) // then <part>.log becomes <part>.log.1
#define LONG_LIFE_MS 10000		 // a part that lived this long starts again without delay
#define BACKOFF_BASE_MS 100
#define BACKOFF_SHIFT_MAX 6 // 6.4 s

const char *part_state_name(enum part_state state)
{
	static const char *const names[] = {
		[PART_STARTING] = "starting", [PART_READY] = "ready", [PART_STOPPING] = "stopping",
		[PART_WAITING] = "waiting",   [PART_ENDED] = "ended",
	};
	return names[state];
}

static char **copy_words(char *const *words)
{
	size_t count = 0;
	while (words[count])
		count++;
	char **copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++)
		copy[i] = strdup(words[i]);
	return copy;
}

bool part_init(struct part *part, const struct part_spec *spec, struct error *error)
{
	*part = (struct part){.spec = *spec, .state = PART_STARTING, .output = -1, .log = -1};
	part->spec.argv = copy_words(spec->argv);
	if (!part->spec.argv)
		return error_set(error, ERROR_LIMIT, "no memory for %s", spec->name);
	return true;
}

void part_done(struct part *part)
{
	stack_argv_free((char **)part->spec.argv);
	if (part->output >= 0)
		(void)close(part->output);
	if (part->log >= 0)
		(void)close(part->log);
}

// ---- start ----

// Between fork and exec. The death signal is tied to the thread that forked, so the supervisor has only one.
static void run_child(const struct part *part, int output, pid_t supervisor, const sigset_t *mask)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, part->spec.orphan_signal) != 0 || getppid() != supervisor)
		_exit(126);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
	    dup2(output, STDERR_FILENO) < 0 || sigprocmask(SIG_SETMASK, mask, NULL) != 0)
		_exit(126);
	(void)execv(part->spec.argv[0], part->spec.argv);
	static const char message[] = "cannot be executed\n";
	(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
	_exit(127);
}

static bool open_log(struct part *part, const struct stack *stack, struct error *error)
{
	struct stat info;
	struct stack_path path = stack_path(stack, "log/%s.log", part->spec.name);
	part->log = open(path.text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (part->log < 0 || fstat(part->log, &info) != 0)
		return error_errno(error, errno, "cannot open %s", path.text);
	part->log_bytes = info.st_size;
	return true;
}

bool part_spawn(struct part *part, const struct stack *stack, const sigset_t *mask, struct error *error)
{
	int ends[2];
	if (part->spec.before && !part->spec.before(part->spec.user, error))
		return false;
	if (part->log < 0 && !open_log(part, stack, error))
		return false;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_errno(error, errno, "cannot make a pipe");
	auto_close int reading = ends[0];
	auto_close int writing = ends[1];
	pid_t supervisor = getpid();
	pid_t child = fork();
	if (child < 0)
		return error_errno(error, errno, "cannot start %s", part->spec.name);
	if (child == 0)
		run_child(part, writing, supervisor, mask);
	(void)setpgid(child, child);
	(void)fcntl(reading, F_SETFL, O_NONBLOCK);
	part->output = steal_fd(reading);
	part->pid = child;
	part->state = part->spec.notifies || part->spec.once ? PART_STARTING : PART_READY;
	part->was_ready = part->was_ready || part->state == PART_READY;
	part->started_ms = clock_mono_ms();
	part->started_wall_ms = clock_wall_ms();
	return true;
}

// ---- log ----

static void rotate_log(struct part *part, const struct stack *stack)
{
	struct error ignored;
	struct stack_path path = stack_path(stack, "log/%s.log", part->spec.name);
	struct stack_path old = stack_path(stack, "log/%s.log.1", part->spec.name);
	(void)close(part->log);
	part->log = -1;
	(void)rename(path.text, old.text);
	(void)open_log(part, stack, &ignored);
}

// A reader that does not read must not stop the parts: what does not fit at once is left to the log.
static void echo_line(const struct part *part, const char *line, size_t bytes)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	auto_buf struct buf text = {0};
	if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT))
		return;
	buf_init(&text, PART_LINE_MAX * 2);
	if (isatty(STDOUT_FILENO))
		log_text(line, bytes, &text);
	else
		buf_add(&text, line, bytes);
	(void)printf("%-9s | %s\n", part->spec.name, buf_str(&text));
	(void)fflush(stdout);
}

static void put_line(struct part *part, const struct stack *stack, const char *line, size_t bytes, bool echo)
{
	if (part->log_bytes + (off_t)bytes > LOG_MAX_BYTES)
		rotate_log(part, stack);
	if (part->log >= 0) {
		// One write, so that no line of another writer gets between.
		char whole[PART_LINE_MAX + 1];
		memcpy(whole, line, bytes);
		whole[bytes] = '\n';
		ssize_t written = write(part->log, whole, bytes + 1);
		part->log_bytes += written > 0 ? written : 0;
	}
	if (echo)
		echo_line(part, line, bytes);
}

static void put_lines(struct part *part, const struct stack *stack, bool echo)
{
	char *start = part->line;
	size_t left = part->line_bytes;
	for (char *newline; (newline = memchr(start, '\n', left));) {
		put_line(part, stack, start, (size_t)(newline - start), echo);
		left -= (size_t)(newline - start) + 1;
		start = newline + 1;
	}
	if (left == sizeof(part->line)) {
		put_line(part, stack, start, left, echo);
		left = 0;
	}
	memmove(part->line, start, left);
	part->line_bytes = left;
}

void part_read(struct part *part, const struct stack *stack, bool echo)
{
	while (part->output >= 0) {
		ssize_t got = read(part->output, part->line + part->line_bytes, sizeof(part->line) - part->line_bytes);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return;
		if (got == 0) {
			(void)close(part->output);
			part->output = -1;
			return;
		}
		part->line_bytes += (size_t)got;
		put_lines(part, stack, echo);
	}
}

// ---- end ----

void part_ended(struct part *part, const struct stack *stack, int exit_status, bool echo)
{
	part_read(part, stack, echo);
	if (part->line_bytes > 0)
		put_line(part, stack, part->line, part->line_bytes, echo);
	part->line_bytes = 0;
	if (part->output >= 0)
		(void)close(part->output);
	part->output = -1;
	// What it may have left in its group must not stand in the way of its next life.
	(void)kill(-part->pid, SIGKILL);
	part->pid = 0;
	part->exit_status = exit_status;
	if (part->spec.once || part->state == PART_STOPPING) {
		part->state = PART_ENDED;
		return;
	}
	int64_t now = clock_mono_ms();
	part->failures = now - part->started_ms >= LONG_LIFE_MS ? 0 : part->failures + 1;
	part->state = PART_WAITING;
	unsigned shift = part->failures < BACKOFF_SHIFT_MAX ? part->failures : BACKOFF_SHIFT_MAX;
	part->next_start_ms = now + (BACKOFF_BASE_MS << shift);
}

void part_describe_end(const struct part *part, char *out, size_t out_bytes)
{
	if (WIFSIGNALED(part->exit_status))
		(void)snprintf(out, out_bytes, "signal %d (%s)", WTERMSIG(part->exit_status),
			       strsignal(WTERMSIG(part->exit_status))); // NOLINT(concurrency-mt-unsafe): one thread
	else
		(void)snprintf(out, out_bytes, "exit code %d", WEXITSTATUS(part->exit_status));
}
