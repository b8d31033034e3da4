// muster command send|status, over the dashboard's API.
#include "common/clock.h"
#include "common/limits.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 50

static bool is_uuid(const char *text)
{
	if (strlen(text) != COMMAND_ID_BYTES - 1)
		return false;
	for (size_t i = 0; text[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return true;
}

static struct json *get(struct api *api, const char *id, struct error *error)
{
	char path[96];
	(void)snprintf(path, sizeof(path), "/api/v1/commands/%s", id);
	return api_request(api, "GET", path, NULL, error);
}

static const char *member(const struct json *object, const char *name)
{
	const char *text = "";
	(void)json_member_string(object, name, &text);
	return text;
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

static void print_command(const struct json *command)
{
	const struct json *events = json_member(command, "events");
	const struct json *result = json_member(command, "result");
	const char *reason = member(command, "reason");
	(void)printf("%s  %s %s  %s%s%s\n", member(command, "id"), member(command, "device"), member(command, "action"),
		     member(command, "state"), reason[0] ? ": " : "", reason);
	for (size_t i = 0; i < json_array_length(events); i++) {
		const struct json *event = json_array_at(events, i);
		(void)printf("  %-32s %-10s by %s\n", member(event, "at"), member(event, "state"),
			     member(event, "cause"));
	}
	if (result && json_type(result) == JSON_OBJECT) {
		auto_json struct json *copy = json_copy(result);
		(void)printf("  result %s\n", json_text(copy));
	}
}

static int finish(const struct cli *cli, struct json *command)
{
	if (cli->json)
		cli_print_json(command);
	else
		print_command(command);
	const char *state = member(command, "state");
	return is_final(state) && strcmp(state, "succeeded") != 0 ? CLI_FAILED : CLI_OK;
}

// {"device":..,"action":..,"params":..,"ttl_s":..}; the params are checked here, so that the message names them.
static struct json *request_body(const struct cli *cli, long ttl_s, struct error *error)
{
	const char *text = args_value(&cli->args, "params");
	auto_json struct json *body = json_new_object();
	json_set_string(body, "device", cli->args.operands[0]);
	json_set_string(body, "action", cli->args.operands[1]);
	json_set_int(body, "ttl_s", ttl_s);
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

static int wait_final(struct cli *cli, struct api *api, const char *id, long timeout_s)
{
	struct error error;
	int64_t deadline = clock_mono_ms() + timeout_s * 1000;
	for (;;) {
		auto_json struct json *command = get(api, id, &error);
		// The dashboard or its database may be starting again; the command goes on without them.
		if (!command && error.kind != ERROR_UNREACHABLE)
			return cli_fail(cli, &error, NULL);
		if (command && is_final(member(command, "state")))
			return finish(cli, command);
		if (clock_mono_ms() >= deadline) {
			char next[128];
			if (command)
				error_set(&error, ERROR_TIMEOUT, "the command is still \"%s\" after %ld s",
					  member(command, "state"), timeout_s);
			(void)snprintf(next, sizeof(next), "muster command status %s", id);
			return cli_fail(cli, &error, next);
		}
		(void)poll(NULL, 0, POLL_MS);
	}
}

static int send_run(struct cli *cli)
{
	struct error error;
	const char *device = cli->args.operands[0];
	char id[COMMAND_ID_BYTES];
	long timeout_s = 0;
	long ttl_s = 0;
	if (!topic_is_device_id(device)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no device id", device);
		return cli_usage(cli, &error);
	}
	if (!args_duration(&cli->args, "timeout", 60, &timeout_s, &error) ||
	    !args_duration(&cli->args, "ttl", COMMAND_TTL_DEFAULT_S, &ttl_s, &error))
		return cli_usage(cli, &error);
	auto_json struct json *body = request_body(cli, ttl_s, &error);
	if (!body)
		return cli_usage(cli, &error);
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	auto_api struct api *api = api_new(&cli->stack, &error);
	auto_json struct json *command =
		api ? api_request(api, "POST", "/api/v1/commands", json_text(body), &error) : NULL;
	if (!command) {
		bool unknown = error.kind == ERROR_NOT_FOUND;
		if (unknown)
			error_set(&error, ERROR_NOT_FOUND, "there is no device \"%s\"", device);
		return cli_fail(cli, &error, unknown ? "muster device list shows them all" : NULL);
	}
	if (!args_has(&cli->args, "wait"))
		return finish(cli, command);
	(void)snprintf(id, sizeof(id), "%s", member(command, "id"));
	return wait_final(cli, api, id, timeout_s);
}

static int status_run(struct cli *cli)
{
	struct error error;
	const char *id = cli->args.operands[0];
	if (!is_uuid(id)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no command id", id);
		return cli_usage(cli, &error);
	}
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	auto_api struct api *api = api_new(&cli->stack, &error);
	auto_json struct json *command = api ? get(api, id, &error) : NULL;
	if (!command)
		return cli_fail(cli, &error, NULL);
	if (cli->json)
		cli_print_json(command);
	else
		print_command(command);
	return CLI_OK;
}

static const struct args_option send_options[] = {
	{"params", "JSON", "an object, what the action takes"},
	{"wait", NULL, "until it ended: exit 0 when it succeeded, 1 when not"},
	{"timeout", "TIME", "of --wait (60s); the command goes on"},
	{"ttl", "TIME", "when the device must have begun at the latest (1d)"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_command[] = {
	{"command", "send", "DEVICE ACTION", 2, 2, "order one device to do something", send_options, send_run},
	{"command", "status", "ID", 1, 1, "how far a command has come, and its history", NULL, status_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
