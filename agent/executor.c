#include "agent/executor.h"

#include "common/action.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/topic.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define COUNTER_FILE_MAX_BYTES 1024
#define CHILD_POLL_MS 200 // where there is no pidfd_open (Linux before 5.3)

// ---- answers ----

// Puts the answer into the outbox, and what became of the command into its record. The caller has the transaction.
static bool answer(struct executor *executor, struct outbox_command *command, const char *state, const char *reason,
		   struct json *output, struct error *error)
{
	struct json *body auto_json = json_new_object();
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, "command", command->id);
	json_set_string(body, "state", state);
	if (reason)
		json_set_string(body, "reason", reason);
	if (output)
		json_set(body, "output", json_copy(output));

	free(command->result);
	command->result = strdup(json_text(body));
	if (!command->result)
		abort();
	(void)snprintf(command->state, sizeof(command->state), "%s", state);
	return outbox_push(executor->options.outbox, executor->result_topic, body, &command->result_seq, error) &&
	       outbox_command_put(executor->options.outbox, command, error);
}

static bool record(struct executor *executor, struct outbox_command *command, const char *state, const char *reason,
		   struct error *error)
{
	struct outbox *outbox = executor->options.outbox;
	if (!outbox_begin(outbox, error))
		return false;
	if (answer(executor, command, state, reason, NULL, error))
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

static bool act_at_once(struct executor *executor, const struct agent_action *action, struct outbox_command *command,
			const struct json *params, struct error *error)
{
	struct outbox *outbox = executor->options.outbox;
	struct json *output auto_json = json_new_object();
	struct error why = {0};
	executor->new_interval_s = 0;
	if (!outbox_begin(outbox, error))
		return false;
	bool done = action->run(executor, params, output, &why);
	if (!answer(executor, command, done ? "succeeded" : "failed", done ? NULL : why.what, done ? output : NULL,
		    error)) {
		outbox_rollback(outbox);
		return false;
	}
	if (!outbox_commit(outbox, error))
		return false;
	if (done && executor->new_interval_s > 0 && executor->options.interval_changed)
		executor->options.interval_changed(executor->options.user, executor->new_interval_s);
	return true;
}

// Own session, signals as at a login, no environment and no descriptors of ours.
static bool spawn(struct executor *executor, char *const *argv, struct error *error)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	static char language[] = "LANG=C";
	static char *const environment[] = {path, language, NULL};
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t files;
	sigset_t none;
	sigset_t all;
	sigemptyset(&none);
	sigfillset(&all);
	if (!argv || !argv[0])
		return error_set(error, ERROR_FAILED, "reboot_command is empty");
	if (posix_spawnattr_init(&attributes) != 0 || posix_spawn_file_actions_init(&files) != 0)
		abort();
	int code = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
								 POSIX_SPAWN_SETSIGDEF);
	if (code == 0)
		code = posix_spawnattr_setsigmask(&attributes, &none);
	if (code == 0)
		code = posix_spawnattr_setsigdefault(&attributes, &all);
	if (code == 0)
		code = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (code == 0)
		code = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	if (code == 0)
		code = posix_spawn_file_actions_addclosefrom_np(&files, 3);
	if (code == 0)
		code = posix_spawn(&executor->child, argv[0], &files, &attributes, argv, environment);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&files);
	if (code != 0) {
		executor->child = 0;
		return error_errno(error, code, "cannot run %s", argv[0]);
	}
	executor->child_fd = pidfd_open(executor->child, 0);
	executor->child_deadline_ms = clock_mono_ms() + EXECUTOR_CHILD_TIMEOUT_MS;
	return true;
}

static bool act_by_child(struct executor *executor, const struct agent_action *action, struct outbox_command *command,
			 struct error *error)
{
	struct error why = {0};
	if (executor->child != 0 || executor->child_ended)
		return record(executor, command, "failed", "an earlier command is still running", error);
	// Before it starts: it may leave us no time.
	if (!record(executor, command, "running", NULL, error))
		return false;
	if (!spawn(executor, action->argv(executor), &why))
		return record(executor, command, "failed", why.what, error);
	(void)snprintf(executor->child_command, sizeof(executor->child_command), "%s", command->id);
	return true;
}

static bool act(struct executor *executor, const struct agent_action *action, struct outbox_command *command,
		const struct json *params, struct error *error)
{
	if (action->run)
		return act_at_once(executor, action, command, params, error);
	return act_by_child(executor, action, command, error);
}

// ---- checking ----

struct lookup {
	struct outbox *outbox;
	bool failed;
	struct error error;
};

static bool was_seen(void *user, const char *id)
{
	struct lookup *lookup = user;
	struct outbox_command command = {0};
	bool found = false;
	if (!outbox_command_find(lookup->outbox, id, &found, &command, &lookup->error))
		lookup->failed = true;
	if (found)
		outbox_command_done(&command);
	return found;
}

static bool is_allowed(const struct executor *executor, const char *name)
{
	for (char *const *action = executor->options.actions; action && *action; action++) {
		if (strcmp(*action, name) == 0)
			return true;
	}
	return false;
}

// Whether this device will do it; otherwise error says why not.
static bool check_action(const struct executor *executor, const struct command *command, struct error *error)
{
	const struct action *known = action_find(command->action);
	if (!known || !agent_action_find(command->action))
		return error_set(error, ERROR_DENIED, "this agent has no action \"%s\"", command->action);
	if (!is_allowed(executor, command->action))
		return error_set(error, ERROR_DENIED, "the action \"%s\" is not allowed by this device's configuration",
				 command->action);
	if (command->issued_s < executor->options.identity->enrolled_s)
		return error_set(error, ERROR_DENIED, "the command was issued before this device was enrolled");
	return action_check_params(known, command->params, error);
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
	if (!outbox_begin(outbox, error))
		return false;
	if (!remember(executor, counter, command->issued_s, error) ||
	    !answer(executor, record_of, state, reason, NULL, error)) {
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
	struct outbox_command stored = {.params = strdup(json_text(command->params))};
	if (!stored.params)
		abort();
	(void)snprintf(stored.id, sizeof(stored.id), "%s", command->id);
	(void)snprintf(stored.action, sizeof(stored.action), "%s", command->action);
	(void)snprintf(stored.boot_id, sizeof(stored.boot_id), "%s", executor->options.boot_id);

	bool ok;
	int64_t counter = verdict == COMMAND_OK ? command->counter : 0;
	if (verdict == COMMAND_OK && check_action(executor, command, why)) {
		ok = decide(executor, command, counter, "accepted", NULL, &stored, error);
		if (ok) {
			crash_here(executor->options.crash, CRASH_COMMAND_STORED);
			ok = act(executor, agent_action_find(command->action), &stored, command->params, error);
			executor->resume_due = executor->resume_due || !ok;
		}
	} else {
		ok = decide(executor, command, counter, "rejected", why->what, &stored, error);
	}
	outbox_command_done(&stored);
	return ok;
}

bool executor_command(struct executor *executor, const char *jws, size_t jws_bytes, struct error *error)
{
	const struct identity *identity = executor->options.identity;
	struct lookup lookup = {.outbox = executor->options.outbox};
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

// ---- children ----

int executor_fd(const struct executor *executor)
{
	return executor->child_fd;
}

int64_t executor_timeout_ms(const struct executor *executor)
{
	if (executor->child == 0)
		return -1;
	int64_t left_ms = executor->child_deadline_ms - clock_mono_ms();
	if (executor->child_fd < 0 && left_ms > CHILD_POLL_MS)
		left_ms = CHILD_POLL_MS;
	return left_ms > 0 ? left_ms : 0;
}

static bool finish_child(struct executor *executor, struct error *error)
{
	struct outbox_command command = {0};
	bool found = false;
	if (!outbox_command_find(executor->options.outbox, executor->child_command, &found, &command, error))
		return false;
	const char *reason = executor->child_reason[0] ? executor->child_reason : NULL;
	bool ok = !found || record(executor, &command, reason ? "failed" : "succeeded", reason, error);
	if (found)
		outbox_command_done(&command);
	executor->child_ended = !ok; // then once more at the next call
	return ok;
}

// Takes note of the child's end, if it has come.
static void reap_child(struct executor *executor)
{
	int status = 0;
	pid_t ended = waitpid(executor->child, &status, WNOHANG);
	char *reason = executor->child_reason;
	size_t bytes = sizeof(executor->child_reason);
	reason[0] = '\0';
	if (ended == 0) {
		if (clock_mono_ms() < executor->child_deadline_ms)
			return;
		(void)kill(-executor->child, SIGKILL);
		(void)waitpid(executor->child, &status, 0);
		(void)snprintf(reason, bytes, "the program did not end within %d s", EXECUTOR_CHILD_TIMEOUT_MS / 1000);
	} else if (ended < 0) {
		(void)snprintf(reason, bytes, "the program's end could not be seen");
	} else if (WIFSIGNALED(status)) {
		(void)snprintf(reason, bytes, "the program was ended by signal %d", WTERMSIG(status));
	} else if (WEXITSTATUS(status) != 0) {
		(void)snprintf(reason, bytes, "the program ended with status %d", WEXITSTATUS(status));
	}
	executor->child = 0;
	executor->child_ended = true;
	if (executor->child_fd >= 0)
		(void)close(steal_fd(executor->child_fd));
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
	if (executor->child != 0)
		reap_child(executor);
	if (executor->child_ended && !finish_child(executor, error))
		return false;
	if (executor->resume_due && executor->child == 0) {
		executor->resume_due = !resume_all(executor, "the device had no room to store its progress", error);
		return !executor->resume_due;
	}
	return true;
}

// The file is a second copy of what the outbox says, and ahead of it only when the outbox was lost.
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
	*executor = (struct executor){.options = *options, .child_fd = -1};
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
	if (executor->child_fd >= 0)
		(void)close(steal_fd(executor->child_fd));
	executor->child = 0;
}
