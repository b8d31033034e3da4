// muster command send|actions|show|output, over the dashboard's API.
#include "common/action.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 50
#define RESULT_MAX_BYTES ((size_t)1024 * 1024)

static struct json *get(struct api *api, const char *id, struct error *error)
{
	char path[96];
	(void)snprintf(path, sizeof(path), "/api/v1/commands/%s", id);
	return api_request(api, "GET", path, NULL, error);
}

static bool is_final(const char *state)
{
	static const char *const final[] = {"succeeded", "failed", "rejected", "expired", "cancelled"};
	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
		if (strcmp(state, final[i]) == 0)
			return true;
	}
	return false;
}

// ---- for people ----

static void print_safe(const char *text)
{
	auto_buf struct buf safe = {0};
	buf_init(&safe, RESULT_MAX_BYTES);
	text_add_safe(&safe, text);
	(void)fputs(buf_str(&safe), stdout);
}

static void print_head(const struct json *command)
{
	(void)printf("%s\n  %s on %s, asked for by %s\n  %s\n", text_member(command, "id"),
		     text_member(command, "action"), text_member(command, "device"),
		     text_member(command, "requested_by"),
		     text_time(text_member(command, "created_at"), clock_wall_ms()).s);
}

static double seconds_between(const char *from, const char *to)
{
	int64_t from_ms = 0;
	int64_t to_ms = 0;
	if (!clock_parse_rfc3339(from, strlen(from), &from_ms) || !clock_parse_rfc3339(to, strlen(to), &to_ms))
		return 0;
	return (double)(to_ms - from_ms) / 1000;
}

// The states from number *printed on.
static void print_states(const struct json *command, size_t *printed)
{
	const struct json *events = json_member(command, "events");
	for (; *printed < json_array_length(events); (*printed)++) {
		const struct json *event = json_array_at(events, *printed);
		(void)printf("  %s  %+9.3f s  %s\n", text_instant(text_member(event, "at")).s,
			     seconds_between(text_member(command, "created_at"), text_member(event, "at")),
			     text_member(event, "state"));
	}
	(void)fflush(stdout);
}

static void print_result(const struct json *command)
{
	const struct json *result = json_member(command, "result");
	if (result && json_type(result) == JSON_OBJECT) {
		auto_json struct json *copy = json_copy(result);
		(void)printf("  result: ");
		print_safe(json_text(copy));
		(void)printf("\n");
	}
}

static void print_wakes(const struct json *command)
{
	const struct json *wakes = json_member(command, "wakes");
	for (size_t i = 0; i < json_array_length(wakes); i++) {
		const struct json *wake = json_array_at(wakes, i);
		const char *status = text_member(wake, "fcm_status");
		const char *reason = text_member(wake, "reason");
		(void)printf("  %s  %+9.3f s  %s", text_instant(text_member(wake, "started_at")).s,
			     seconds_between(text_member(command, "created_at"), text_member(wake, "started_at")),
			     strcmp(status, "OK") == 0 ? "device woken" : "push to wake the device: ");
		print_safe(strcmp(status, "OK") == 0 ? "" : status[0] ? status : "under way");
		if (reason[0]) {
			(void)printf(", ");
			print_safe(reason);
		}
		(void)printf("\n");
	}
}

static void print_end(const struct json *command)
{
	const char *reason = text_member(command, "reason");
	print_result(command);
	if (reason[0]) {
		(void)printf("  reason: ");
		print_safe(reason);
		(void)printf("\n");
	}
	if (!is_final(text_member(command, "state")))
		(void)printf("  %s; it expires %s\n", text_member(command, "state"),
			     text_time(text_member(command, "expires_at"), clock_wall_ms()).s);
}

// ---- send ----

static const char *next_after(const char *state)
{
	static const struct {
		const char *state;
		const char *next;
	} table[] = {
		{"failed", "correct what the device says, then send it again"},
		{"rejected", "the device does not allow it: see \"actions\" in its agent's configuration"},
		{"expired", "muster device show says whether the device is in contact; then send it again"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(table[i].state, state) == 0)
			return table[i].next;
	}
	return "send it again if it is still wanted";
}

// The exit code of a command that has ended.
static int outcome(const struct cli *cli, const struct json *command)
{
	struct error error = {0};
	const char *state = text_member(command, "state");
	const char *reason = text_member(command, "reason");
	if (strcmp(state, "succeeded") == 0)
		return CLI_OK;
	auto_buf struct buf safe = {0};
	buf_init(&safe, RESULT_MAX_BYTES);
	text_add_safe(&safe, reason);
	error_set(&error, ERROR_FAILED, "%s on %s %s %s%s%.300s", text_member(command, "action"),
		  text_member(command, "device"), strcmp(state, "failed") == 0 ? "has" : "was", state,
		  reason[0] ? ": " : "", buf_str(&safe));
	return cli_fail(cli, &error, next_after(state));
}

// Whether a destructive action is meant: --yes, or the name of the device typed.
static bool confirmed(const struct cli *cli, struct error *error)
{
	const char *device = cli->args.operands[0];
	const struct action *action = action_find(cli->args.operands[1]);
	char answer[128] = "";
	if (!action || !action->destructive || args_has(&cli->args, "yes"))
		return true;
	if (isatty(STDIN_FILENO)) {
		(void)printf("%s: %s.\nType %s to go on: ", action->name, action->description, device);
		(void)fflush(stdout);
		if (fgets(answer, sizeof(answer), stdin))
			answer[strcspn(answer, "\n")] = '\0';
		if (strcmp(answer, device) == 0)
			return true;
	}
	return error_set(error, ERROR_INVALID,
			 "%s may cost work or data, and was not confirmed; --yes says that it is meant", action->name);
}

static bool add_times(const struct cli *cli, struct json *body, struct error *error)
{
	long ttl_s = 0;
	long after_s = 0;
	long attempts = 0;
	if (!args_duration(&cli->args, "ttl", 0, &ttl_s, error) ||
	    !args_duration(&cli->args, "after", 0, &after_s, error) ||
	    !args_int(&cli->args, "max-attempts", 1, 100, 0, &attempts, error))
		return false;
	if (ttl_s > 0)
		json_set_int(body, "ttl_s", ttl_s);
	if (after_s > 0)
		json_set_int(body, "after_s", after_s);
	if (attempts > 0)
		json_set_int(body, "max_attempts", attempts);
	if (args_has(&cli->args, "at"))
		json_set_string(body, "at", args_value(&cli->args, "at"));
	if (args_has(&cli->args, "in-window"))
		json_set_bool(body, "in_window", true);
	return true;
}

// {"device":..,"action":..,"params":..,"ttl_s":..}; the params are checked here, so that the message names them.
static struct json *request_body(const struct cli *cli, struct error *error)
{
	const char *text = args_value(&cli->args, "params");
	auto_json struct json *body = json_new_object();
	json_set_string(body, "device", cli->args.operands[0]);
	json_set_string(body, "action", cli->args.operands[1]);
	const struct action *action = action_find(cli->args.operands[1]);
	if (!add_times(cli, body, error) || !confirmed(cli, error))
		return NULL;
	if (action && action->destructive)
		json_set_bool(body, "confirm", true);
	if (text) {
		struct json *params = json_parse(text, strlen(text), error);
		if (!params) {
			error_prefix(error, "--params is no JSON");
			return NULL;
		}
		if (json_type(params) != JSON_OBJECT) {
			json_free(params);
			error_set(error, ERROR_INVALID, "--params must be a JSON object, such as {\"seconds\":30}");
			return NULL;
		}
		json_set(body, "params", params);
	}
	return steal(body);
}

static int timed_out(const struct cli *cli, const char *id, const char *state, long timeout_s,
		     const struct error *last)
{
	struct error error = {0};
	char next[128];
	if (last->kind != ERROR_NONE)
		error_set(&error, ERROR_TIMEOUT, "after %ld s it is not known how the command went: %.300s", timeout_s,
			  last->what);
	else
		error_set(&error, ERROR_TIMEOUT, "the command is still \"%s\" after %ld s", state, timeout_s);
	(void)snprintf(next, sizeof(next), "it goes on by itself; muster command show %s says how far", id);
	return cli_fail(cli, &error, next);
}

// Until the command has ended, telling each state as it comes.
static int wait_final(struct cli *cli, struct api *api, const char *id, long timeout_s)
{
	size_t printed = 0;
	int64_t deadline = clock_mono_ms() + timeout_s * 1000;
	for (;;) {
		struct error error = {0};
		auto_json struct json *command = get(api, id, &error);
		// The dashboard or its database may be starting again; the command goes on without them.
		if (!command && error.kind != ERROR_UNREACHABLE && error.kind != ERROR_TIMEOUT)
			return api_fail(cli, &error);
		if (command && !cli->json)
			print_states(command, &printed);
		if (command && is_final(text_member(command, "state"))) {
			if (cli->json)
				cli_print_json(command);
			else
				print_result(command); // the reason comes with the outcome
			return outcome(cli, command);
		}
		if (clock_mono_ms() >= deadline)
			return timed_out(cli, id, command ? text_member(command, "state") : "", timeout_s, &error);
		(void)poll(NULL, 0, POLL_MS);
	}
}

static int sent(const struct cli *cli, struct json *command)
{
	if (cli->json) {
		cli_print_json(command);
		return CLI_OK;
	}
	print_head(command);
	print_end(command);
	(void)printf("\nmuster command show %s says how far it is\n", text_member(command, "id"));
	return CLI_OK;
}

static int send_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	const char *device = cli->args.operands[0];
	char id[COMMAND_ID_BYTES];
	long timeout_s = 0;
	const char *key = args_value(&cli->args, "idempotency-key");
	if (!topic_is_device_id(device)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no device id", device);
		return cli_usage(cli, &error);
	}
	if (!args_duration(&cli->args, "timeout", 60, &timeout_s, &error))
		return cli_usage(cli, &error);
	auto_json struct json *body = request_body(cli, &error);
	if (!body)
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	if (key && !api_idempotency_key(api, key, &error))
		return cli_usage(cli, &error);
	auto_json struct json *command = api_request(api, "POST", "/api/v1/commands", json_text(body), &error);
	if (!command)
		return error.kind == ERROR_NOT_FOUND ? api_no_device(cli, device) : api_fail(cli, &error);
	if (!args_has(&cli->args, "wait"))
		return sent(cli, command);
	if (!cli->json)
		print_head(command);
	(void)snprintf(id, sizeof(id), "%s", text_member(command, "id"));
	return wait_final(cli, api, id, timeout_s);
}

// ---- status ----

static int status_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	size_t printed = 0;
	const char *id = cli->args.operands[0];
	if (!crypto_is_uuid(id)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no command id", id);
		return cli_usage(cli, &error);
	}
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *command = get(api, id, &error);
	if (!command && error.kind == ERROR_NOT_FOUND) {
		error_set(&error, ERROR_NOT_FOUND, "there is no command %s", id);
		return cli_fail(cli, &error, "muster device show DEVICE lists its latest");
	}
	if (!command)
		return api_fail(cli, &error);
	if (cli->json) {
		cli_print_json(command);
		return CLI_OK;
	}
	print_head(command);
	print_states(command, &printed);
	print_wakes(command);
	print_end(command);
	return CLI_OK;
}

// ---- output ----

// Raw when it goes into a file or a program, which may want the very bytes; made harmless for a terminal.
static void print_chunk(const struct json *chunk)
{
	const char *data = text_member(chunk, "data");
	if (!isatty(STDOUT_FILENO)) {
		(void)fputs(data, stdout);
		return;
	}
	while (*data) {
		size_t length = strcspn(data, "\n\t");
		char *piece auto_free = strndup(data, length);
		print_safe(piece ? piece : "");
		data += length;
		if (*data)
			(void)putchar(*data++);
	}
}

struct output {
	int64_t after; // n of the last chunk seen
	bool end, cut;
};

// The chunks that have come since, as one answer; NULL on failure.
static struct json *next_chunks(struct api *api, const char *id, struct output *output, struct error *error)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "/api/v1/commands/%s/output?after=%lld", id, (long long)output->after);
	struct json *answer = api_request(api, "GET", path, NULL, error);
	const struct json *items = json_member(answer, "items");
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *chunk = json_array_at(items, i);
		(void)json_member_int(chunk, "n", &output->after);
		(void)json_member_bool(chunk, "end", &output->end);
		(void)json_member_bool(chunk, "cut", &output->cut);
	}
	return answer;
}

static void print_chunks(const struct cli *cli, const struct json *items)
{
	for (size_t i = 0; i < json_array_length(items); i++) {
		if (cli->json) {
			auto_json struct json *chunk = json_copy(json_array_at(items, i));
			cli_print_json(chunk);
		} else {
			print_chunk(json_array_at(items, i));
		}
	}
	(void)fflush(stdout);
}

// Whether the command has ended: then one that printed nothing has no last chunk to wait for.
static bool has_ended(struct api *api, const char *id, bool *ended, struct error *error)
{
	auto_json struct json *command = get(api, id, error);
	*ended = command && is_final(text_member(command, "state"));
	return command != NULL;
}

static int output_failed(const struct cli *cli, const char *id, struct error *error)
{
	if (error->kind != ERROR_NOT_FOUND)
		return api_fail(cli, error);
	error_set(error, ERROR_NOT_FOUND, "there is no command %s", id);
	return cli_fail(cli, error, "muster device show DEVICE lists its latest");
}

static int output_run(struct cli *cli)
{
	struct error error = {0};
	struct output output = {.after = -1};
	int exit_code = CLI_OK;
	bool ended = !args_has(&cli->args, "follow");
	const char *id = cli->args.operands[0];
	if (!crypto_is_uuid(id)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no command id", id);
		return cli_usage(cli, &error);
	}
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	for (;;) {
		bool last_look = ended;
		auto_json struct json *answer = next_chunks(api, id, &output, &error);
		if (!answer)
			return output_failed(cli, id, &error);
		const struct json *items = json_member(answer, "items");
		print_chunks(cli, items);
		if (output.end || (last_look && json_array_length(items) == 0))
			break;
		if (json_array_length(items) > 0)
			continue;
		if (!has_ended(api, id, &ended, &error))
			return output_failed(cli, id, &error);
		if (!ended)
			(void)poll(NULL, 0, POLL_MS);
	}
	if (output.cut)
		(void)fprintf(stderr, "muster: the device sent the first %d kB; more was printed\n",
			      STREAM_COMMAND_MAX_BYTES / 1024);
	return CLI_OK;
}

// ---- actions ----

static void add_params(struct buf *out, const struct action *action)
{
	for (size_t i = 0; i < action->param_count; i++) {
		const struct action_param *param = &action->params[i];
		buf_addf(out, "%s\"%s\": %s", i > 0 ? "; " : "", param->name, param->description);
		if (param->type == JSON_INT)
			buf_addf(out, ", %lld to %lld", (long long)param->min, (long long)param->max);
		for (size_t k = 0; param->choices && param->choices[k]; k++)
			buf_addf(out, "%s%s", k > 0 ? ", " : ": ", param->choices[k]);
		buf_add_str(out, param->required ? "" : " (may be left out)");
	}
}

static void add_remarks(struct buf *out, const struct action *action)
{
	if (action->destructive)
		buf_add_str(out, "destructive");
	if (action->cancellable)
		buf_addf(out, "%sends when cancelled", out->len_bytes > 0 ? ", " : "");
	if (action->platforms != ACTION_EVERYWHERE)
		buf_addf(out, "%s%s only", out->len_bytes > 0 ? ", " : "",
			 action->platforms == ACTION_LINUX ? "Linux" : "Android");
}

static int actions_run(struct cli *cli)
{
	static const struct table_column columns[] = {
		{.name = "action"}, {.name = "description"}, {.name = "remarks"}, {.name = "params"}};
	size_t count = 0;
	const struct action *list = action_table(&count);
	if (cli->json) {
		auto_json struct json *answer = json_new_object();
		struct json *items = json_new_array();
		action_list(items);
		json_set(answer, "items", items);
		cli_print_json(answer);
		return CLI_OK;
	}
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < count; i++) {
		auto_buf struct buf params = {0};
		auto_buf struct buf remarks = {0};
		if (list[i].internal)
			continue;
		buf_init(&params, RESULT_MAX_BYTES);
		buf_init(&remarks, RESULT_MAX_BYTES);
		add_params(&params, &list[i]);
		add_remarks(&remarks, &list[i]);
		TABLE_ROW(table, list[i].name, list[i].description, buf_str(&remarks), buf_str(&params));
	}
	table_print(table, false);
	(void)printf("\nParameters go as JSON: --params '{\"seconds\":30}'. "
		     "A device refuses what its own configuration does not allow.\n");
	return CLI_OK;
}

static const struct args_option output_options[] = {
	{"follow", NULL, "go on until the command has ended"},
	{NULL, NULL, NULL},
};

static const struct args_option send_options[] = {
	{"params", "JSON", "an object, what the action takes"},
	{"wait", NULL, "until it ended, telling each state: exit 0 when it succeeded, 1 when not"},
	{"timeout", "TIME", "of --wait (60s); the command goes on"},
	{"ttl", "TIME", "when the device must have begun at the latest (1d; with --in-window 8d)"},
	{"at", "TIME", "not before, such as 2026-01-31T22:00:00+01:00"},
	{"after", "TIME", "not before that time from now"},
	{"in-window", NULL, "in the device's maintenance window only (muster device set)"},
	{"max-attempts", "N", "how often it is published while the device is online and silent (10)"},
	{"idempotency-key", "KEY", "sending the same once more with the same key is the same command"},
	{"yes", NULL, "for actions that may cost work or data: it is meant"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_command[] = {
	{"command", "send", "DEVICE ACTION", 2, 2, "order a device to do one of command actions", send_options,
	 send_run},
	{"command", "actions", NULL, 0, 0, "what devices can be ordered to do", NULL, actions_run},
	{"command", "output", "ID", 1, 1, "what a command has printed on its device", output_options, output_run},
	{"command", "show", "ID", 1, 1, "how far a command has come, and its history", NULL, status_run},
	{"command", "status", "ID", 1, 1, "the same", NULL, status_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
