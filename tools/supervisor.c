#include "tools/supervisor.h"

#include "common/clock.h"
#include "common/file.h"
#include "tools/notify.h"
#include "tools/part.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARTS_MAX 16
#define HOLD_TIMEOUT_MS 15000 // processes of a killed supervisor need this long at most: a PostgreSQL that shuts down
#define STOP_TIMEOUT_MS 8000  // then SIGKILL
#define STAGE_MAX 9

struct supervisor {
	struct stack stack;
	struct part *parts[PARTS_MAX];
	size_t count;
	int lock; // run/supervisor.pid
	int hold; // run/alive.lock, inherited by all
	int signals;
	int notify;
	sigset_t old_mask; // what children get back
	bool echo;
	bool changed; // the status file is out of date
	unsigned stop_requests;
	struct json *facts;
	const char *state;
};

// ---- making ----

static bool take_lock(struct supervisor *supervisor, struct error *error)
{
	struct stack_path path = stack_path(&supervisor->stack, "run/supervisor.pid");
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char pid[24];
	supervisor->lock = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (supervisor->lock < 0)
		return error_errno(error, errno, "cannot open %s", path.text);
	if (fcntl(supervisor->lock, F_SETLK, &lock) != 0)
		return error_set(error, ERROR_EXISTS, "another muster up runs in %s", supervisor->stack.root);
	int length = snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(supervisor->lock, 0) != 0 || write(supervisor->lock, pid, (size_t)length) != length)
		return error_errno(error, errno, "cannot write %s", path.text);
	return true;
}

static bool take_signals(struct supervisor *supervisor, struct error *error)
{
	sigset_t mask;
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, &supervisor->old_mask) != 0)
		return error_errno(error, errno, "cannot block signals");
	// Children start with nothing blocked, whatever this program was started with.
	(void)sigemptyset(&supervisor->old_mask);
	(void)signal(SIGPIPE, SIG_IGN); // NOLINT(cert-err33-c): it cannot fail for this signal
	supervisor->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (supervisor->signals < 0)
		return error_errno(error, errno, "cannot make a signalfd");
	return true;
}

struct supervisor *supervisor_new(const struct stack *stack, struct error *error)
{
	struct supervisor *supervisor cleanup(supervisor_free_cleanup) = calloc(1, sizeof(*supervisor));
	if (!supervisor) {
		error_set(error, ERROR_LIMIT, "no memory");
		return NULL;
	}
	supervisor->stack = *stack;
	supervisor->lock = supervisor->hold = supervisor->signals = supervisor->notify = -1;
	supervisor->state = "starting";
	if (!take_lock(supervisor, error) || !stack_hold(stack, HOLD_TIMEOUT_MS, &supervisor->hold, error) ||
	    !take_signals(supervisor, error))
		return NULL;
	supervisor->notify = notify_open(stack_path(stack, "run/notify").text, error);
	if (supervisor->notify < 0)
		return NULL;
	return steal(supervisor);
}

void supervisor_free(struct supervisor *supervisor)
{
	if (!supervisor)
		return;
	supervisor_stop(supervisor);
	for (size_t i = 0; i < supervisor->count; i++) {
		part_done(supervisor->parts[i]);
		free(supervisor->parts[i]);
	}
	if (supervisor->notify >= 0) {
		(void)unlink(stack_path(&supervisor->stack, "run/notify").text);
		(void)unlink(stack_path(&supervisor->stack, "run/up.json").text);
	}
	const int fds[] = {supervisor->signals, supervisor->notify, supervisor->hold, supervisor->lock};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	json_free(supervisor->facts);
	free(supervisor);
}

// ---- status file ----

void supervisor_echo(struct supervisor *supervisor, bool on)
{
	supervisor->echo = on;
}

static struct json *describe(const struct part *part)
{
	char started[CLOCK_RFC3339_BYTES];
	struct json *json = json_new_object();
	clock_format_rfc3339(part->started_wall_ms, started);
	json_set_string(json, "name", part->spec.name);
	json_set_int(json, "pid", part->pid);
	json_set_string(json, "state", part_state_name(part->state));
	json_set_string(json, "started_at", started);
	json_set_int(json, "started_ms", part->started_wall_ms);
	json_set_int(json, "restarts", part->restarts);
	return json;
}

// No fsync: after a crash of the machine nothing runs, and the file says nothing that matters.
static void write_status(struct supervisor *supervisor)
{
	auto_json struct json *json = json_copy(supervisor->facts);
	struct json *parts = json_new_array();
	struct stack_path path = stack_path(&supervisor->stack, "run/up.json");
	struct stack_path aside = stack_path(&supervisor->stack, "run/up.json.new");
	supervisor->changed = false;
	for (size_t i = 0; i < supervisor->count; i++) {
		if (!supervisor->parts[i]->spec.once)
			json_append(parts, describe(supervisor->parts[i]));
	}
	json_set_int(json, "pid", getpid());
	json_set_string(json, "state", supervisor->state);
	json_set(json, "parts", parts);
	FILE *file auto_fclose = fopen(aside.text, "we");
	if (file && fputs(json_text(json), file) >= 0 && fflush(file) == 0)
		(void)rename(aside.text, path.text);
}

void supervisor_publish(struct supervisor *supervisor, struct json *facts, const char *state)
{
	json_free(supervisor->facts);
	supervisor->facts = facts;
	supervisor->state = state;
	write_status(supervisor);
}

// ---- events ----

static struct part *part_of(struct supervisor *supervisor, pid_t pid)
{
	for (size_t i = 0; i < supervisor->count; i++) {
		if (pid > 0 && supervisor->parts[i]->pid == pid)
			return supervisor->parts[i];
	}
	return NULL;
}

static void say(struct supervisor *supervisor, const struct part *part, const char *what)
{
	if (supervisor->echo) {
		(void)printf("%-9s | %s %s\n", "muster", part->spec.name, what);
		(void)fflush(stdout);
	}
}

static void reap(struct supervisor *supervisor)
{
	int status = 0;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		struct part *part = part_of(supervisor, pid);
		if (!part)
			continue;
		part_ended(part, &supervisor->stack, status, supervisor->echo);
		supervisor->changed = true;
		if (part->state == PART_WAITING) {
			char end[64];
			char line[128];
			part_describe_end(part, end, sizeof(end));
			(void)snprintf(line, sizeof(line), "ended with %s; it is started again", end);
			say(supervisor, part, line);
		}
	}
}

static void take_signal_events(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;
	while (read(supervisor->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			supervisor->stop_requests++;
	}
	reap(supervisor);
}

static void take_notifications(struct supervisor *supervisor)
{
	pid_t sender = 0;
	bool ready = false;
	while (notify_next(supervisor->notify, &sender, &ready)) {
		struct part *part = part_of(supervisor, sender);
		if (!part || !ready || part->state != PART_STARTING)
			continue;
		part->state = PART_READY;
		part->was_ready = true;
		supervisor->changed = true;
	}
}

static void start_due(struct supervisor *supervisor)
{
	int64_t now = clock_mono_ms();
	for (size_t i = 0; i < supervisor->count; i++) {
		struct part *part = supervisor->parts[i];
		struct error error;
		if (part->state != PART_WAITING || part->next_start_ms > now)
			continue;
		part->restarts++;
		supervisor->changed = true;
		if (!part_spawn(part, &supervisor->stack, &supervisor->old_mask, &error)) {
			say(supervisor, part, error.what);
			part->next_start_ms = now + STOP_TIMEOUT_MS;
		}
	}
}

static int next_due_ms(const struct supervisor *supervisor, int timeout_ms)
{
	int64_t now = clock_mono_ms();
	int64_t wait = timeout_ms < 0 ? INT32_MAX : timeout_ms;
	for (size_t i = 0; i < supervisor->count; i++) {
		const struct part *part = supervisor->parts[i];
		if (part->state == PART_WAITING && part->next_start_ms - now < wait)
			wait = part->next_start_ms > now ? part->next_start_ms - now : 0;
	}
	return wait == INT32_MAX ? -1 : (int)wait;
}

static void handle_events(struct supervisor *supervisor, int timeout_ms)
{
	struct pollfd fds[PARTS_MAX + 2] = {{.fd = supervisor->signals, .events = POLLIN},
					    {.fd = supervisor->notify, .events = POLLIN}};
	for (size_t i = 0; i < supervisor->count; i++)
		fds[i + 2] = (struct pollfd){.fd = supervisor->parts[i]->output, .events = POLLIN};
	if (poll(fds, supervisor->count + 2, timeout_ms) > 0) {
		for (size_t i = 0; i < supervisor->count; i++) {
			if (fds[i + 2].revents)
				part_read(supervisor->parts[i], &supervisor->stack, supervisor->echo);
		}
		take_notifications(supervisor);
		take_signal_events(supervisor);
	}
}

bool supervisor_turn(struct supervisor *supervisor, int timeout_ms)
{
	if (supervisor->changed && supervisor->facts)
		write_status(supervisor);
	handle_events(supervisor, next_due_ms(supervisor, timeout_ms));
	if (supervisor->stop_requests > 0)
		return false;
	start_due(supervisor);
	if (supervisor->changed && supervisor->facts)
		write_status(supervisor);
	return true;
}

// ---- starting and waiting ----

bool supervisor_start(struct supervisor *supervisor, const struct part_spec *spec, struct error *error)
{
	if (supervisor->count == PARTS_MAX)
		return error_set(error, ERROR_LIMIT, "more than %d parts", PARTS_MAX);
	struct part *part = calloc(1, sizeof(*part));
	if (!part)
		return error_set(error, ERROR_LIMIT, "no memory");
	if (!part_init(part, spec, error) || !part_spawn(part, &supervisor->stack, &supervisor->old_mask, error)) {
		part_done(part);
		free(part);
		return false;
	}
	supervisor->parts[supervisor->count++] = part;
	supervisor->changed = true;
	return true;
}

static bool interrupted(struct error *error)
{
	return error_set(error, ERROR_FAILED, "stopped before it was ready");
}

static bool part_failed(const struct part *part, struct error *error)
{
	char end[64];
	part_describe_end(part, end, sizeof(end));
	error_set(error, ERROR_FAILED, "%s ended with %s", part->spec.name, end);
	if (error)
		(void)snprintf(error->where, sizeof(error->where), "%s", part->spec.name);
	return false;
}

static bool part_late(const struct part *part, const char *what, int timeout_ms, struct error *error)
{
	error_set(error, ERROR_TIMEOUT, "%s is not %s after %d s", part->spec.name, what, timeout_ms / 1000);
	if (error)
		(void)snprintf(error->where, sizeof(error->where), "%s", part->spec.name);
	return false;
}

bool supervisor_wait_ready(struct supervisor *supervisor, int timeout_ms, struct error *error)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	for (;;) {
		const struct part *late = NULL;
		for (size_t i = 0; i < supervisor->count; i++) {
			const struct part *part = supervisor->parts[i];
			if (!part->spec.notifies || part->was_ready)
				continue;
			if (part->pid == 0)
				return part_failed(part, error);
			late = part;
		}
		int64_t left = deadline - clock_mono_ms();
		if (!late)
			return true;
		if (left <= 0)
			return part_late(late, "ready", timeout_ms, error);
		if (!supervisor_turn(supervisor, (int)left))
			return interrupted(error);
	}
}

bool supervisor_wait_end(struct supervisor *supervisor, const char *name, int timeout_ms, struct error *error)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	const struct part *part = NULL;
	for (size_t i = 0; i < supervisor->count; i++) {
		if (strcmp(supervisor->parts[i]->spec.name, name) == 0)
			part = supervisor->parts[i];
	}
	if (!part)
		return error_set(error, ERROR_NOT_FOUND, "there is no part %s", name);
	while (part->pid != 0) {
		int64_t left = deadline - clock_mono_ms();
		if (left <= 0)
			return part_late(part, "done", timeout_ms, error);
		if (!supervisor_turn(supervisor, (int)left))
			return interrupted(error);
	}
	return part->exit_status == 0 || part_failed(part, error);
}

// ---- stopping ----

static bool any_left(const struct supervisor *supervisor, int stage)
{
	for (size_t i = 0; i < supervisor->count; i++) {
		if (supervisor->parts[i]->spec.stage == stage && supervisor->parts[i]->pid != 0)
			return true;
	}
	return false;
}

static void signal_stage(struct supervisor *supervisor, int stage, bool kill_now)
{
	for (size_t i = 0; i < supervisor->count; i++) {
		struct part *part = supervisor->parts[i];
		if (part->spec.stage != stage)
			continue;
		if (part->pid != 0 && kill_now)
			(void)fprintf(stderr, "muster: %s did not stop in time and is killed\n", part->spec.name);
		if (part->pid != 0)
			(void)kill(kill_now ? -part->pid : part->pid, kill_now ? SIGKILL : part->spec.stop_signal);
		part->state = part->pid != 0 ? PART_STOPPING : PART_ENDED;
	}
}

void supervisor_stop(struct supervisor *supervisor)
{
	unsigned asked_before = supervisor->stop_requests;
	supervisor->state = "stopping";
	if (supervisor->facts)
		write_status(supervisor);
	for (int stage = STAGE_MAX; stage >= 0; stage--) {
		if (!any_left(supervisor, stage))
			continue;
		int64_t deadline = clock_mono_ms() + STOP_TIMEOUT_MS;
		signal_stage(supervisor, stage, false);
		while (any_left(supervisor, stage)) {
			int64_t left = deadline - clock_mono_ms();
			// Asked a second time (Ctrl-C again): at once.
			if (left <= 0 || supervisor->stop_requests > asked_before) {
				signal_stage(supervisor, stage, true);
				left = STOP_TIMEOUT_MS;
			}
			handle_events(supervisor, (int)left);
		}
	}
}
