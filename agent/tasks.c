#include "agent/tasks.h"

#include "common/action.h"
#include "common/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#define READ_BYTES 16384
#define READS_MAX 32       // of one program in a turn of the loop, so that none of them holds up all others
#define POLL_MS 200        // where the end of a program can only be asked for
#define RETRY_MS 1000      // of a result that could not be stored

bool tasks_init(struct tasks *tasks, const struct tasks_port *port, struct error *error)
{
	*tasks = (struct tasks){.port = *port, .max = TASKS_MAX, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	for (size_t i = 0; i < TASKS_MAX; i++)
		tasks->places[i].job = JOB_NONE;
	return tasks->epoll_fd >= 0 || error_errno(error, errno, "cannot make an epoll descriptor");
}

static void clear(struct task *task)
{
	job_done(&task->job);
	stream_done(&task->stream);
	plan_done(&task->plan);
	*task = (struct task){.job = JOB_NONE};
}

void tasks_done(struct tasks *tasks)
{
	for (size_t i = 0; i < TASKS_MAX; i++) {
		if (tasks->places[i].action)
			clear(&tasks->places[i]);
	}
	if (tasks->epoll_fd >= 0)
		(void)close(steal_fd(tasks->epoll_fd));
}

// ---- starting ----

static void watch(const struct tasks *tasks, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	if (fd >= 0)
		(void)epoll_ctl(tasks->epoll_fd, EPOLL_CTL_ADD, fd, &event); // without, it is found by POLL_MS
}

static bool start_step(struct tasks *tasks, struct task *task, struct error *error)
{
	const struct job_options options = {
		.path = task->plan.steps[task->step].path,
		.argv = task->plan.steps[task->step].words,
		.input = task->step == 0 ? task->plan.input : NULL,
		.user = task->plan.user,
		.memory_max_bytes = task->plan.memory_max_bytes,
		.cpu_max_s = task->plan.outlives ? 0 : task->plan.time_s,
		.outlives = task->plan.outlives,
	};
	task->started = job_start(&options, &task->job, error);
	watch(tasks, task->job.exit_fd);
	watch(tasks, task->job.output_fd);
	return task->started;
}

bool tasks_have_room(const struct tasks *tasks, const struct agent_action *action, struct error *error)
{
	size_t used = 0;
	for (size_t i = 0; i < TASKS_MAX; i++) {
		const struct task *task = &tasks->places[i];
		used += task->action != NULL;
		if (task->action && task->action->alone && action->alone)
			return error_set(error, ERROR_LIMIT, "an earlier command is still running: %s (%s)",
					 task->command, task->action->name);
	}
	return used < tasks->max ||
	       error_set(error, ERROR_LIMIT, "as many commands are still running as may at the same time (%zu)",
			 tasks->max);
}

bool tasks_start(struct tasks *tasks, const struct agent_action *action, const char *command, struct plan *plan,
		 struct error *error)
{
	struct task *task = tasks->places;
	while (task->action && task < tasks->places + TASKS_MAX - 1)
		task++;
	*task = (struct task){.action = action, .plan = *plan, .job = JOB_NONE};
	*plan = (struct plan){0};
	(void)snprintf(task->command, sizeof(task->command), "%s", command);
	task->deadline_ms = clock_mono_ms() + task->plan.time_s * 1000;
	bool ok = stream_init(&task->stream, tasks->outbox, tasks->device, command, error);
	task->stream.silent = !task->plan.sends_output;
	ok = ok && start_step(tasks, task, error);
	if (!ok)
		clear(task);
	return ok;
}

// ---- ending ----

static void tell_to_end(struct task *task, enum task_told why, int64_t now_ms)
{
	if (task->told == TASK_ON)
		task->told = why;
	if (task->kill_ms == 0)
		task->kill_ms = now_ms + TASKS_GRACE_MS;
	job_signal(&task->job, SIGTERM);
}

bool tasks_cancel(struct tasks *tasks, const char *command, struct error *error)
{
	for (size_t i = 0; i < TASKS_MAX; i++) {
		struct task *task = &tasks->places[i];
		if (!task->action || strcasecmp(task->command, command) != 0)
			continue;
		if (!action_find(task->action->name)->cancellable)
			return error_set(error, ERROR_DENIED, "%s can't be cancelled once it runs", task->action->name);
		if (!task->ended && !job_ended(&task->job, &task->status))
			tell_to_end(task, TASK_CANCELLED, clock_mono_ms());
		else
			task->ended = true;
		return true;
	}
	return error_set(error, ERROR_NOT_FOUND, "it has ended");
}

static void first_line(const char *text, char *out, size_t out_bytes)
{
	struct buf safe auto_buf = {0};
	text += strspn(text, " \t\r\n");
	buf_init(&safe, 1024);
	(void)stream_text(&safe, text, strnlen(text, 300 < strcspn(text, "\r\n") ? 300 : strcspn(text, "\r\n")), false);
	(void)snprintf(out, out_bytes, "%.300s", buf_str(&safe));
}

// How a program ended that nobody had told to: NULL when well.
static const char *fault_of(struct task *task)
{
	char line[512];
	char *reason = task->reason;
	size_t bytes = sizeof(task->reason);
	const char *text = buf_str(&task->stream.head);
	first_line(text, line, sizeof(line));
	if (!task->started)
		return reason;
	if (WIFSIGNALED(task->status) && WTERMSIG(task->status) == SIGXCPU)
		(void)snprintf(reason, bytes, "the program used more processor time than it may (%lld s)",
			       (long long)task->plan.time_s);
	else if (WIFSIGNALED(task->status))
		(void)snprintf(reason, bytes, "the program was ended by signal %d", WTERMSIG(task->status));
	else if (WEXITSTATUS(task->status) != 0)
		(void)snprintf(reason, bytes, "the program ended with status %d%s%.400s", WEXITSTATUS(task->status),
			       *line ? ": " : "", line);
	else if (task->plan.android && (strncmp(line, "Error", 5) == 0 || strncmp(line, "Failure", 7) == 0))
		(void)snprintf(reason, bytes, "%.400s", line); // am and pm may say so and end with 0
	else
		return NULL;
	return reason;
}

const char *tasks_verdict(struct task *task, struct json *output)
{
	struct error error = {0};
	if (task->plan.sends_output) {
		json_set_int(output, "bytes", task->stream.taken_bytes);
		json_set_bool(output, "cut", task->stream.cut);
	}
	if (task->plan.sends_output && task->started && WIFEXITED(task->status))
		json_set_int(output, "status", WEXITSTATUS(task->status));
	if (task->told == TASK_CANCELLED) {
		(void)snprintf(task->reason, sizeof(task->reason), "ended while it ran");
		return "cancelled";
	}
	if (task->told == TASK_TIMED_OUT) {
		(void)snprintf(task->reason, sizeof(task->reason), "the program did not end within %lld s",
			       (long long)task->plan.time_s);
		if (task->plan.time_is_end)
			task->reason[0] = '\0';
		return task->plan.time_is_end ? "succeeded" : "failed";
	}
	if (fault_of(task))
		return "failed";
	if (task->action->read && !task->action->read(buf_str(&task->stream.head), output, &error)) {
		(void)snprintf(task->reason, sizeof(task->reason), "%s", error.what);
		return "failed";
	}
	return "succeeded";
}

// ---- while they run ----

static void take_output(struct task *task, int64_t now_ms)
{
	char bytes[READ_BYTES];
	for (int i = 0; i < READS_MAX; i++) {
		size_t got = job_read(&task->job, bytes, sizeof(bytes));
		if (got == 0)
			break;
		stream_add(&task->stream, bytes, got, now_ms);
	}
	stream_flush(&task->stream, now_ms);
}

// The next step, if there is one to be done.
static void go_on(struct tasks *tasks, struct task *task, struct error *error)
{
	struct error why = {0};
	if (task->told != TASK_ON || fault_of(task) || task->step + 1 == task->plan.step_count)
		return;
	task->step++;
	job_done(&task->job);
	// It is only progress: told or not, the work goes on.
	(void)tasks->port.progress(tasks->port.user, task->command,
				   (int64_t)(100 * task->step / task->plan.step_count), error);
	task->ended = false;
	if (!start_step(tasks, task, &why)) {
		(void)snprintf(task->reason, sizeof(task->reason), "%s", why.what);
		task->ended = true;
	}
}

static bool poll_task(struct tasks *tasks, struct task *task, int64_t now_ms, struct error *error)
{
	if (task->started)
		take_output(task, now_ms);
	if (!task->ended && job_ended(&task->job, &task->status)) {
		task->ended = true;
		take_output(task, now_ms); // what was printed just before
		go_on(tasks, task, error);
	}
	if (task->ended) {
		if (!tasks->port.finished(tasks->port.user, task, error))
			return false;
		clear(task);
		return true;
	}
	if (task->told == TASK_ON && now_ms >= task->deadline_ms)
		tell_to_end(task, TASK_TIMED_OUT, now_ms);
	if (task->kill_ms > 0 && now_ms >= task->kill_ms)
		job_signal(&task->job, SIGKILL);
	return true;
}

bool tasks_poll(struct tasks *tasks, int64_t now_ms, struct error *error)
{
	bool ok = true;
	for (size_t i = 0; i < TASKS_MAX; i++) {
		if (tasks->places[i].action)
			ok = poll_task(tasks, &tasks->places[i], now_ms, error) && ok;
	}
	return ok;
}

static int64_t due_ms(const struct task *task, int64_t now_ms)
{
	int64_t at_ms = task->kill_ms > 0 ? task->kill_ms : task->deadline_ms;
	if (task->ended)
		return now_ms + RETRY_MS;
	if (task->kill_ms > 0 && now_ms >= task->kill_ms)
		at_ms = now_ms + POLL_MS;
	if (task->stream.due_ms > 0 && task->stream.due_ms < at_ms)
		at_ms = task->stream.due_ms;
	if (task->job.exit_fd < 0 && now_ms + POLL_MS < at_ms)
		at_ms = now_ms + POLL_MS;
	return at_ms;
}

int64_t tasks_timeout_ms(const struct tasks *tasks, int64_t now_ms)
{
	int64_t left_ms = -1;
	for (size_t i = 0; i < TASKS_MAX; i++) {
		const struct task *task = &tasks->places[i];
		if (!task->action)
			continue;
		int64_t ms = due_ms(task, now_ms) - now_ms;
		ms = ms > 0 ? ms : 0;
		if (left_ms < 0 || ms < left_ms)
			left_ms = ms;
	}
	return left_ms;
}
