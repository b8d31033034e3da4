#include "agent/executor.h"

#include "agent/platform.h"
#include "agent/trust.h"
#include "agent/watch.h"
#include "common/action.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/result_text.h"
#include "common/topic.h"

#include <stdio.h>
#include <string.h>

#define COUNTER_FILE_MAX_BYTES 1024

// ---- answers ----

struct reply {
	const char *state;
	const char *reason; // NULL: none
	struct json *output; // NULL: none
	int64_t progress_pct; // 0: nothing to tell
};
// Adds sig. It leaves out epoch and seq, so that it holds when the answer is given again.
static bool sign(const struct executor *executor, struct json *body, struct error *error)
{
	struct buf text auto_buf = {0};
	char signature[SIGNATURE_TEXT_MAX];
	if (!executor->options.sign)
		return true;
	buf_init(&text, RESULT_TEXT_MAX_BYTES);
	if (!result_text(executor->options.identity->device, body, &text))
		return error_set(error, ERROR_LIMIT, "the result is too large to be signed");
	if (!executor->options.sign(executor->options.user, buf_str(&text), text.len_bytes, signature, error))
		return false;
	json_set_string(body, "sig", signature);
	return true;
}

// Puts the answer into the outbox, and what became of the command into its record. The caller has the transaction.
static bool answer(struct executor *executor, struct outbox_command *command, const struct reply *reply,
		   struct error *error)
{
	struct json *body auto_json = json_new_object();
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, "command", command->id);
	json_set_string(body, "state", reply->state);
	if (reply->progress_pct > 0)
		json_set_int(body, "progress", reply->progress_pct);
	if (reply->reason)
		json_set_string(body, "reason", reply->reason);
	if (reply->output)
		json_set(body, "output", json_copy(reply->output));
	if (!sign(executor, body, error))
		return false;

	free(command->result);
	command->result = strdup(json_text(body));
	if (!command->result)
		abort();
	(void)snprintf(command->state, sizeof(command->state), "%s", reply->state);
	return outbox_push(executor->options.outbox, executor->result_topic, body, &command->result_seq, error) &&
	       outbox_command_put(executor->options.outbox, command, error);
}

static bool record(struct executor *executor, struct outbox_command *command, const char *state, const char *reason,
		   struct error *error)
{
	struct outbox *outbox = executor->options.outbox;
	const struct reply reply = {.state = state, .reason = reason};
	if (!outbox_begin(outbox, error))
		return false;
	if (answer(executor, command, &reply, error))
		return outbox_commit(outbox, error);
	outbox_rollback(outbox);
	return false;
}

// An event, since a command that nobody signed, or for another device, gets no answer.
static bool refuse(struct executor *executor, const char *reason, struct error *error)
{
	int64_t now_ms = clock_mono_ms();
	if (executor->refusals == 0 || now_ms - executor->refusals_since_ms >= 60000) {
		executor->refusals = 0;
		executor->refusals_since_ms = now_ms;
	}
	if (executor->refusals >= EXECUTOR_REFUSALS_MAX) {
		executor->refusals_hidden++;
		return true;
	}
	struct json *body auto_json = json_new_object();
	json_set_string(body, "type", "command.refused");
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, "reason", reason);
	if (executor->refusals_hidden > 0)
		json_set_int(body, "not_reported", executor->refusals_hidden);
	if (!outbox_push(executor->options.outbox, executor->event_topic, body, NULL, error))
		return false;
	executor->refusals++;
	executor->refusals_hidden = 0;
	return true;
}

// The stored answer again, unless it is on its way anyhow.
static bool repeat(struct executor *executor, const char *id, struct error *error)
{
	struct outbox *outbox = executor->options.outbox;
	struct outbox_command command = {0};
	bool found = false;
	if (!outbox_command_find(outbox, id, &found, &command, error))
		return false;
	if (!found)
		return true;
	bool ok = true;
	if (command.result_seq < outbox_oldest_seq(outbox)) {
		struct json *body auto_json = json_parse(command.result, strlen(command.result), error);
		ok = body && outbox_begin(outbox, error);
		if (ok) {
			ok = outbox_push(outbox, executor->result_topic, body, &command.result_seq, error) &&
			     outbox_command_put(outbox, &command, error);
			if (ok)
				ok = outbox_commit(outbox, error);
			else
				outbox_rollback(outbox);
		}
	}
	outbox_command_done(&command);
	return ok;
}

// ---- acting ----

static void start_leaving(struct executor *executor)
{
	executor->leaving_seq = outbox_next_seq(executor->options.outbox) - 1;
	executor->leaving_ms = clock_mono_ms() + EXECUTOR_LEAVING_MS;
}

static void forget_changes(struct executor *executor)
{
	json_free(executor->changed.settings);
	executor->changed = (struct executor_changes){0};
}

// What an action has changed is made known when it is on the disk.
static void tell_changes(struct executor *executor)
{
	struct executor_changes *changed = &executor->changed;
	if (changed->leaving)
		start_leaving(executor);
	if (changed->settings && executor->options.settings_changed)
		executor->options.settings_changed(executor->options.user, changed->settings);
	if (changed->interval_s > 0 && executor->options.interval_changed)
		executor->options.interval_changed(executor->options.user, changed->interval_s);
	forget_changes(executor);
}

static bool act_at_once(struct executor *executor, const struct agent_action *action, struct outbox_command *command,
			const struct json *params, struct error *error)
{
	struct outbox *outbox = executor->options.outbox;
	struct json *output auto_json = json_new_object();
	struct error why = {0};
	forget_changes(executor);
	if (!outbox_begin(outbox, error))
		return false;
	bool done = action->run(executor, params, output, &why);
	const struct reply reply = {
		.state = done ? "succeeded" : "failed",
		.reason = done ? NULL : why.what,
		.output = done ? output : NULL,
	};
	if (!answer(executor, command, &reply, error)) {
		outbox_rollback(outbox);
		return false;
	}
	if (!outbox_commit(outbox, error))
		return false;
	if (done)
		tell_changes(executor);
	return true;
}

static bool act_by_programs(struct executor *executor, const struct agent_action *action,
			    struct outbox_command *command, const struct json *params, struct plan *plan,
			    struct error *error)
{
	struct error why = {0};
	if (!tasks_have_room(&executor->tasks, action, &why))
		return record(executor, command, "failed", why.what, error);
	if (action->app != APP_UNTOUCHED && !watch_note_order(executor->options.outbox, plan_text(params, "app"),
							      action->app == APP_STOPPED, error))
		return false;
	// Before it starts: it may leave us no time.
	if (!record(executor, command, "running", NULL, error))
		return false;
	if (!tasks_start(&executor->tasks, action, command->id, plan, &why))
		return record(executor, command, "failed", why.what, error);
	return true;
}

static bool act(struct executor *executor, const struct agent_action *action, struct outbox_command *command,
		const struct json *params, struct plan *plan, struct error *error)
{
	if (action->run)
		return act_at_once(executor, action, command, params, error);
	return act_by_programs(executor, action, command, params, plan, error);
}

// The result of programs, with the last of their output: both or neither.
static bool on_finished(void *user, struct task *task, struct error *error)
{
	struct executor *executor = user;
	struct outbox *outbox = executor->options.outbox;
	struct outbox_command command = {0};
	struct json *output auto_json = json_new_object();
	bool found = false;
	const char *state = tasks_verdict(task, output);
	struct json_iterator members = json_begin(output);
	const struct reply reply = {
		.state = state,
		.reason = task->reason[0] ? task->reason : NULL,
		.output = json_next(&members) ? output : NULL,
	};
	if (!outbox_command_find(outbox, task->command, &found, &command, error))
		return false;
	bool ok = outbox_begin(outbox, error);
	if (ok) {
		ok = stream_end(&task->stream, error) && (!found || answer(executor, &command, &reply, error));
		if (ok)
			ok = outbox_commit(outbox, error);
		else
			outbox_rollback(outbox);
	}
	if (found)
		outbox_command_done(&command);
	return ok;
}

static bool on_progress(void *user, const char *id, int64_t pct, struct error *error)
{
	struct executor *executor = user;
	struct outbox *outbox = executor->options.outbox;
	struct outbox_command command = {0};
	bool found = false;
	const struct reply reply = {.state = "running", .progress_pct = pct};
	if (!outbox_command_find(outbox, id, &found, &command, error))
		return false;
	if (!found)
		return true;
	bool ok = outbox_begin(outbox, error);
	if (ok && answer(executor, &command, &reply, error))
		ok = outbox_commit(outbox, error);
	else if (ok)
		ok = (outbox_rollback(outbox), false);
	outbox_command_done(&command);
	return ok;
}

// ---- cancelling ----

bool executor_knows(struct executor *executor, const char *id, bool *out, struct error *error)
{
	struct outbox_command command = {0};
	if (!outbox_command_find(executor->options.outbox, id, out, &command, error))
		return false;
	if (*out)
		outbox_command_done(&command);
	return true;
}

bool executor_forestall(struct executor *executor, const char *id, struct error *error)
{
	const struct reply reply = {.state = "cancelled", .reason = "cancelled before it came"};
	struct outbox_command command = {.params = strdup("{}")};
	if (!command.params)
		abort();
	(void)snprintf(command.id, sizeof(command.id), "%s", id);
	(void)snprintf(command.boot_id, sizeof(command.boot_id), "%s", executor->options.boot_id);
	bool ok = answer(executor, &command, &reply, error);
	outbox_command_done(&command);
	return ok;
}

// ---- checking ----

struct lookup {
	struct executor *executor;
	bool failed;
	struct error error;
};

static bool was_seen(void *user, const char *id)
{
	struct lookup *lookup = user;
	bool found = false;
	if (!executor_knows(lookup->executor, id, &found, &lookup->error))
		lookup->failed = true;
	return found;
}

static bool is_allowed(const struct executor *executor, const char *name)
{
	for (char *const *action = executor->options.config->actions; action && *action; action++) {
		if (strcmp(*action, name) == 0)
			return true;
	}
	return agent_action_find(name)->always;
}

static bool make_plan(struct executor *executor, const struct agent_action *action, const struct json *params,
		      struct plan *plan, struct error *error)
{
	*plan = (struct plan){
		.root = executor->options.root,
		.android = platform_is_android(executor->options.root),
		.device = executor->options.identity->device,
		.options = executor->options.config,
		.memory_max_bytes = PLAN_MEMORY_MAX_BYTES,
		.time_s = PLAN_TIME_S,
	};
	return action->plan(plan, params, error);
}

// Whether this device will do it, and how; otherwise error says why not.
static bool check_action(struct executor *executor, const struct command *command, struct plan *plan,
			 struct error *error)
{
	const struct action *known = action_find(command->action);
	const struct agent_action *action = agent_action_find(command->action);
	if (!known || !action)
		return error_set(error, ERROR_DENIED, "this agent has no action \"%s\"", command->action);
	if (!is_allowed(executor, command->action))
		return error_set(error, ERROR_DENIED, "the action \"%s\" is not allowed by this device's configuration",
				 command->action);
	if (command->issued_s < executor->options.identity->enrolled_s)
		return error_set(error, ERROR_DENIED, "the command was issued before this device was enrolled");
	if (!action_check_params(known, command->params, error))
		return false;
	if (action->plan)
		return make_plan(executor, action, command->params, plan, error);
	return !action->check || action->check(executor, command->params, error);
}

// What is known of the server after a signed command: counter is 0 when the command does not count.
static bool remember(struct executor *executor, int64_t counter, int64_t issued_s, struct error *error)
{
	struct outbox *outbox = executor->options.outbox;
	if (counter > executor->counter_high && !outbox_set_int(outbox, "counter", counter, error))
		return false;
	return issued_s <= executor->server_time_s || outbox_set_int(outbox, "server_time", issued_s, error);
}

static void remembered(struct executor *executor, int64_t counter, int64_t issued_s)
{
	if (counter > executor->counter_high)
		executor->counter_high = counter;
	if (issued_s > executor->server_time_s)
		executor->server_time_s = issued_s;
	executor->counter_unsaved = true;
}

// Stores what was decided, the first answer with it, in one transaction.
static bool decide(struct executor *executor, const struct command *command, int64_t counter, const char *state,
		   const char *reason, struct outbox_command *record_of, struct error *error)
{
	struct outbox *outbox = executor->options.outbox;
	const struct reply reply = {.state = state, .reason = reason};
	if (!outbox_begin(outbox, error))
		return false;
	if (!remember(executor, counter, command->issued_s, error) ||
	    !answer(executor, record_of, &reply, error)) {
		outbox_rollback(outbox);
		return false;
	}
	if (!outbox_commit(outbox, error))
		return false;
	remembered(executor, counter, command->issued_s);
	return true;
}

static bool take(struct executor *executor, const struct command *command, enum command_verdict verdict,
		 struct error *why, struct error *error)
{
	struct plan plan auto_plan = {0};
	struct outbox_command stored = {.params = strdup(json_text(command->params))};
	if (!stored.params)
		abort();
	(void)snprintf(stored.id, sizeof(stored.id), "%s", command->id);
	(void)snprintf(stored.action, sizeof(stored.action), "%s", command->action);
	(void)snprintf(stored.boot_id, sizeof(stored.boot_id), "%s", executor->options.boot_id);

	bool ok;
	int64_t counter = verdict == COMMAND_OK ? command->counter : 0;
	if (verdict == COMMAND_OK && check_action(executor, command, &plan, why)) {
		ok = decide(executor, command, counter, "accepted", NULL, &stored, error);
		if (ok) {
			crash_here(executor->options.crash, CRASH_COMMAND_STORED);
			ok = act(executor, agent_action_find(command->action), &stored, command->params, &plan, error);
			executor->resume_due = executor->resume_due || !ok;
		}
	} else {
		ok = decide(executor, command, counter, "rejected", why->what, &stored, error);
	}
	outbox_command_done(&stored);
	return ok;
}

// Another key may sign from now on, or one may not any more.
static bool take_signers(struct executor *executor, const char *jws, size_t jws_bytes, struct error *error)
{
	struct error why = {0};
	switch (trust_take(executor->options.identity, jws, jws_bytes, &why)) {
	case TRUST_TAKEN:
		if (executor->options.signers_changed)
			executor->options.signers_changed(executor->options.user);
		return true;
	case TRUST_REFUSED:
		return refuse(executor, why.what, error);
	case TRUST_FAILED:
		return error_set(error, why.kind, "%s", why.what);
	case TRUST_KNOWN:
		break;
	}
	return true;
}

bool executor_command(struct executor *executor, const char *jws, size_t jws_bytes, struct error *error)
{
	const struct identity *identity = executor->options.identity;
	if (jws_has_typ(jws, jws_bytes, SIGNERS_TYP))
		return take_signers(executor, jws, jws_bytes, error);
	struct lookup lookup = {.executor = executor};
	int64_t clock_s = clock_wall_ms() / 1000;
	struct command_context context = {
		.device = identity->device,
		.keys = identity->command_keys,
		.key_count = identity->command_key_count,
		.now_s = clock_s > executor->server_time_s ? clock_s : executor->server_time_s,
		.counter_high = executor->counter_high,
		.seen = was_seen,
		.user = &lookup,
	};
	struct error why = {0};
	struct command command = {0};
	enum command_verdict verdict = command_check(jws, jws_bytes, &context, &command, &why);
	if (verdict == COMMAND_BAD_FORM)
		return refuse(executor, why.what, error);

	bool ok;
	if (lookup.failed) { // then nobody knows whether it was obeyed already
		ok = false;
		if (error)
			*error = lookup.error;
	} else if (verdict == COMMAND_NOT_MINE) {
		ok = refuse(executor, why.what, error);
	} else if (verdict == COMMAND_REPEATED) {
		ok = repeat(executor, command.id, error);
	} else {
		ok = take(executor, &command, verdict, &why, error);
	}
	command_done(&command);
	return ok;
}

// ---- programs ----

int executor_fd(const struct executor *executor)
{
	return executor->tasks.epoll_fd;
}

int64_t executor_timeout_ms(const struct executor *executor)
{
	return tasks_timeout_ms(&executor->tasks, clock_mono_ms());
}

bool executor_may_leave(const struct executor *executor)
{
	return executor->leaving_seq > 0 && (outbox_oldest_seq(executor->options.outbox) > executor->leaving_seq ||
					     clock_mono_ms() >= executor->leaving_ms);
}

// ---- beginning and end ----

static bool resume(struct executor *executor, struct outbox_command *command, const char *why, struct error *error)
{
	const struct agent_action *action = agent_action_find(command->action);
	struct json *params auto_json = json_parse(command->params, strlen(command->params), NULL);
	if (action && action->run && params)
		return act_at_once(executor, action, command, params, error);
	if (action && action->took_effect && strcmp(command->state, "running") == 0 &&
	    action->took_effect(executor, command->boot_id))
		return record(executor, command, "succeeded", NULL, error);
	return record(executor, command, "failed", why, error);
}

static bool resume_all(struct executor *executor, const char *why, struct error *error)
{
	for (;;) {
		struct outbox_command command = {0};
		bool found = false;
		if (!outbox_command_open(executor->options.outbox, &found, &command, error))
			return false;
		if (!found)
			return true;
		bool ok = resume(executor, &command, why, error);
		outbox_command_done(&command);
		if (!ok)
			return false;
	}
}

bool executor_poll(struct executor *executor, struct error *error)
{
	if (!tasks_poll(&executor->tasks, clock_mono_ms(), error))
		return false;
	if (executor->resume_due && tasks_timeout_ms(&executor->tasks, 0) < 0) { // what runs is no leftover
		executor->resume_due = !resume_all(executor, "the device had no room to store its progress", error);
		return !executor->resume_due;
	}
	return true;
}

// The file is a second copy of what the outbox says, and ahead of it only when the outbox was lost. What enrolment said
// is ahead of both when the device was wiped and is new, under its old name.
static void read_counter(struct executor *executor)
{
	size_t len_bytes;
	int64_t value;
	char *text auto_free =
		file_read(executor->options.identity->counter_file, COUNTER_FILE_MAX_BYTES, &len_bytes, NULL);
	struct json *json auto_json = text ? json_parse(text, len_bytes, NULL) : NULL;
	executor->counter_unsaved = !json;
	if (json && json_member_int(json, "n", &value) && value > executor->counter_high)
		executor->counter_high = value;
	if (json && json_member_int(json, "server_time", &value) && value > executor->server_time_s)
		executor->server_time_s = value;
	if (executor->options.identity->command_counter > executor->counter_high)
		executor->counter_high = executor->options.identity->command_counter;
}

bool executor_save_counter(struct executor *executor, struct error *error)
{
	if (!executor->counter_unsaved)
		return true;
	struct json *json auto_json = json_new_object();
	json_set_int(json, "n", executor->counter_high);
	json_set_int(json, "server_time", executor->server_time_s);
	const char *text = json_text(json);
	if (!file_write(executor->options.identity->counter_file, text, strlen(text), 0600, error))
		return false;
	executor->counter_unsaved = false;
	return true;
}

bool executor_init(struct executor *executor, const struct executor_options *options, struct error *error)
{
	const struct tasks_port port = {on_finished, on_progress, executor};
	*executor = (struct executor){.options = *options, .tasks = {.epoll_fd = -1}};
	if (!tasks_init(&executor->tasks, &port, error))
		return false;
	executor->tasks.outbox = options->outbox;
	executor->tasks.device = options->identity->device;
	executor->tasks.max = (size_t)options->config->parallel;
	if (outbox_get_int(options->outbox, "leaving", 0) > 0)
		start_leaving(executor);
	if (!topic_build(executor->result_topic, TOPIC_RESULT, options->identity->device, NULL) ||
	    !topic_build(executor->event_topic, TOPIC_EVENT, options->identity->device, NULL))
		return error_set(error, ERROR_INVALID, "%s is no device id", options->identity->device);
	executor->counter_high = outbox_get_int(options->outbox, "counter", 0);
	executor->server_time_s = outbox_get_int(options->outbox, "server_time", 0);
	read_counter(executor);
	return resume_all(executor, "agent restarted", error);
}

void executor_done(struct executor *executor)
{
	tasks_done(&executor->tasks);
	forget_changes(executor);
}
