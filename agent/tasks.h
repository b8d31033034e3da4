// The commands that run: each is a plan whose programs are started one after the other, watched, and ended when their
// time is over or the command is cancelled. How it went is told to whoever started them.
#pragma once

#include "agent/action.h"
#include "agent/job.h"
#include "agent/plan.h"
#include "agent/stream.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TASKS_MAX 8
#define TASKS_GRACE_MS 5000 // between SIGTERM and SIGKILL

enum task_told { TASK_ON, TASK_CANCELLED, TASK_TIMED_OUT };

struct task {
	const struct agent_action *action; // NULL: the place is free
	char command[COMMAND_ID_BYTES];
	struct plan plan;
	size_t step;
	struct job job;
	struct stream stream;
	enum task_told told; // to end, and why
	int64_t deadline_ms;
	int64_t kill_ms;     // when it is ended by force; 0: it was not told to end
	bool ended;          // and its result is not stored yet
	int status;          // as of waitpid(2)
	bool started;        // the last step was; false: reason says why not
	char reason[512];
};

struct tasks_port {
	// The result, with the last of its output. False: it could not be stored, and comes again.
	bool (*finished)(void *user, struct task *task, struct error *error);
	bool (*progress)(void *user, const char *command, int64_t pct, struct error *error);
	void *user;
};

struct tasks {
	struct tasks_port port;
	struct outbox *outbox;
	const char *device;
	size_t max; // at the same time
	int epoll_fd;
	struct task places[TASKS_MAX];
};

bool tasks_init(struct tasks *tasks, const struct tasks_port *port, struct error *error) must_check;
void tasks_done(struct tasks *tasks); // ends those that do not outlive the agent

// Whether there is room for one more like this; otherwise error says what is in its way.
bool tasks_have_room(const struct tasks *tasks, const struct agent_action *action, struct error *error) must_check;
// Takes plan over, also on failure.
bool tasks_start(struct tasks *tasks, const struct agent_action *action, const char *command, struct plan *plan,
		 struct error *error) must_check;
bool tasks_cancel(struct tasks *tasks, const char *command, struct error *error) must_check;
// Of a task that has ended: "succeeded", "failed" or "cancelled", the reason where there is one, and its output.
const char *tasks_verdict(struct task *task, struct json *output);

// Watch epoll_fd for reading, and call tasks_poll then and after tasks_timeout_ms (-1: nothing to wait for).
int64_t tasks_timeout_ms(const struct tasks *tasks, int64_t now_ms);
bool tasks_poll(struct tasks *tasks, int64_t now_ms, struct error *error) must_check;
