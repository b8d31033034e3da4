// muster command list|cancel|purge, over the dashboard's API: what waits, what has ended, and taking it away.
#include "common/clock.h"
#include "common/crypto.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>

#define FILTER_MAX_BYTES 512
#define SHOWN_DEFAULT 50

// ---- list ----

static bool is_plain(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(text);
}

// "&device=..&state=.." from the options that are the API's parameters.
static bool make_filter(const struct cli *cli, char out[FILTER_MAX_BYTES], struct error *error)
{
	static const char *const names[][2] = {
		{"device", "device"}, {"status", "state"}, {"action", "action"}, {"by", "requested_by"}};
	size_t used = 0;
	out[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = args_value(&cli->args, names[i][0]);
		if (!value)
			continue;
		if (!is_plain(value) || strlen(value) > 80)
			return error_set(error, ERROR_INVALID,
					 "--%s takes letters, digits, dot, dash and underscore", names[i][0]);
		used += (size_t)snprintf(out + used, FILTER_MAX_BYTES - used, "&%s=%s", names[i][1], value);
	}
	return true;
}

static void add_row(struct table *table, const struct json *item, int64_t now_ms)
{
	bool held = false;
	char state[128];
	(void)json_member_bool(item, "held", &held);
	if (held)
		(void)snprintf(state, sizeof(state), "%s, %s", text_member(item, "state"),
			       text_ago(text_member(item, "next_at"), now_ms).s);
	else if (text_member(item, "cancel_requested_at")[0] && !text_member(item, "finished_at")[0])
		(void)snprintf(state, sizeof(state), "%s, cancelling", text_member(item, "state"));
	else
		(void)snprintf(state, sizeof(state), "%s", text_member(item, "state"));
	TABLE_ROW(table, text_member(item, "id"), text_member(item, "device"), text_member(item, "action"), state,
		  text_ago(text_member(item, "created_at"), now_ms).s, text_member(item, "requested_by"));
}

static int list_run(struct cli *cli)
{
	static const struct table_column columns[] = {{.name = "id"},	 {.name = "device"}, {.name = "action"},
						      {.name = "state"}, {.name = "asked"},  {.name = "by"}};
	struct error error = {0};
	int exit_code = CLI_OK;
	long limit = 0;
	char filter[FILTER_MAX_BYTES];
	char path[FILTER_MAX_BYTES + 64];
	if (!make_filter(cli, filter, &error) || !args_int(&cli->args, "limit", 1, 500, SHOWN_DEFAULT, &limit, &error))
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	(void)snprintf(path, sizeof(path), "/api/v1/commands?limit=%ld%s", limit, filter);
	auto_json struct json *answer = api_request(api, "GET", path, NULL, &error);
	if (!answer)
		return api_fail(cli, &error);
	if (cli->json) {
		cli_print_json(answer);
		return CLI_OK;
	}
	const struct json *items = json_member(answer, "items");
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++)
		add_row(table, json_array_at(items, i), clock_wall_ms());
	table_print(table, false);
	if (json_array_length(items) == 0)
		(void)printf("%s\n", filter[0] ? "no command matches" : "no command was sent yet: muster command send");
	else if (json_member(answer, "next") && json_type(json_member(answer, "next")) != JSON_NULL)
		(void)printf("there are older ones: --limit N, up to 500\n");
	return CLI_OK;
}

// ---- cancel ----

static int cancel_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	const char *id = cli->args.operands[0];
	char path[96];
	if (!crypto_is_uuid(id)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no command id", id);
		return cli_usage(cli, &error);
	}
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	(void)snprintf(path, sizeof(path), "/api/v1/commands/%s/cancel", id);
	auto_json struct json *command = api_request(api, "POST", path, "{}", &error);
	if (!command && (error.code == 404 || error.code == 409))
		return cli_fail(cli, &error, "muster command list shows what is open");
	if (!command)
		return api_fail(cli, &error);
	if (cli->json)
		cli_print_json(command);
	else
		(void)printf("it is to be cancelled; muster command show %s says what came of it\n", id);
	return CLI_OK;
}

// ---- purge ----

static void print_answer(const struct cli *cli, const char *name, int64_t count, const char *words)
{
	auto_json struct json *answer = json_new_object();
	json_set_int(answer, name, count);
	if (cli->json)
		cli_print_json(answer);
	else
		(void)printf("%lld command%s %s\n", (long long)count, count == 1 ? "" : "s", words);
}

// Until none is left; each request removes a batch.
static int purge_ended(struct cli *cli, struct api *api, long older_s)
{
	struct error error = {0};
	char path[96];
	int64_t total = 0;
	bool more = true;
	(void)snprintf(path, sizeof(path), "/api/v1/commands?older_than_s=%ld", older_s);
	while (more) {
		int64_t removed = 0;
		auto_json struct json *answer = api_request(api, "DELETE", path, NULL, &error);
		if (!answer)
			return api_fail(cli, &error);
		more = json_member_bool(answer, "more", &more) && more;
		(void)json_member_int(answer, "removed", &removed);
		total += removed;
	}
	print_answer(cli, "removed", total, "removed");
	return CLI_OK;
}

static int purge_queue(struct cli *cli, struct api *api, const char *device)
{
	struct error error = {0};
	char path[160];
	int64_t count = 0;
	(void)snprintf(path, sizeof(path), "/api/v1/commands?device=%s", device);
	auto_json struct json *answer = api_request(api, "DELETE", path, NULL, &error);
	if (!answer)
		return api_fail(cli, &error);
	(void)json_member_int(answer, "cancelling", &count);
	print_answer(cli, "cancelling", count, count == 1 ? "is cancelled" : "are cancelled");
	return CLI_OK;
}

static int purge_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	long older_s = 0;
	const char *device = args_value(&cli->args, "device");
	bool ended = args_has(&cli->args, "older");
	if (!args_duration(&cli->args, "older", 0, &older_s, &error))
		return cli_usage(cli, &error);
	if (!device == !ended || (device && !topic_is_device_id(device))) {
		error_set(&error, ERROR_INVALID, "say what: --older TIME, or --device ID");
		return cli_usage(cli, &error);
	}
	if (!cli_confirm(cli, device ? "Cancel all that waits for this device?" : "Remove them with their histories?",
			 &error))
		return cli_fail(cli, &error, CLI_YES);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	return device ? purge_queue(cli, api, device) : purge_ended(cli, api, older_s);
}

static const struct args_option list_options[] = {
	{"device", "ID", "only of this device"},
	{"status", "S", "only open ones (open), or those in one state"},
	{"action", "NAME", "only of this action"},
	{"by", "NAME", "only those that NAME asked for"},
	{"limit", "N", "the latest N (50)"},
	{NULL, NULL, NULL},
};
static const struct args_option purge_options[] = {
	{"older", "TIME", "remove commands that ended longer ago, with their histories"},
	{"device", "ID", "cancel all that waits for this device and was not sent"},
	{"yes", NULL, "do not ask"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_command_queue[] = {
	{"command", "list", NULL, 0, 0, "the latest commands", list_options, list_run},
	{"command", "cancel", "ID", 1, 1, "end a command: before it is sent at once, later where its action can be",
	 NULL, cancel_run},
	{"command", "purge", NULL, 0, 0, "remove what has ended, or empty a device's queue", purge_options, purge_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
