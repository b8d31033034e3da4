// muster campaign preview|create|list|show|start|pause|resume|abort|approve, over the dashboard's API.
#include "common/clock.h"
#include "common/limits.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_MAX_BYTES 160
#define TEXT_MAX_BYTES ((size_t)64 * 1024)

static long long number(const struct json *item, const char *name)
{
	int64_t value = 0;
	(void)json_member_int(item, name, &value);
	return value;
}

// ---- what is asked for ----

static bool add_target(const struct args *args, struct json *body, struct error *error)
{
	static const char *const names[] = {"tag", "group", "filter", "query"};
	struct json *target = json_new_object();
	size_t count = 0;
	const char *devices = args_value(args, "devices");
	json_set(body, "target", target);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!args_value(args, names[i]))
			continue;
		json_set_string(target, names[i], args_value(args, names[i]));
		count++;
	}
	if (args_has(args, "all")) {
		json_set_bool(target, "all", true);
		count++;
	}
	if (devices) {
		struct json *list = json_new_array();
		text_append_pieces(list, devices, ",");
		json_set(target, "devices", list);
		count++;
	}
	return count == 1 ||
	       error_set(error, ERROR_INVALID,
			 "say whom it is for: one of --devices, --tag, --group, --filter, --query and --all");
}

static bool add_number(const struct args *args, const char *option, const char *name, struct json *body,
		       struct error *error)
{
	const char *text = args_value(args, option);
	char *end = NULL;
	if (!text)
		return true;
	double value = strtod(text, &end);
	if (end == text || *end)
		return error_set(error, ERROR_INVALID, "--%s must be a number, not \"%s\"", option, text);
	json_set_double(body, name, value);
	return true;
}

static bool add_rollout(const struct args *args, struct json *body, struct error *error)
{
	long canary = 0;
	struct json *rollout = json_new_object();
	json_set(body, "rollout", rollout);
	if (!args_int(args, "canary", 0, 1000000, 0, &canary, error))
		return false;
	json_set_int(rollout, "canary", canary);
	return add_number(args, "success", "success_pct", rollout, error) &&
	       add_number(args, "errors", "error_pct", rollout, error) &&
	       add_number(args, "rate", "rate_per_min", rollout, error) &&
	       add_number(args, "factor", "factor", rollout, error);
}

static bool add_params(const struct args *args, struct json *body, struct error *error)
{
	const char *text = args_value(args, "params");
	if (!text)
		return true;
	struct json *params = json_parse(text, strlen(text), error);
	if (!params)
		return error_prefix(error, "--params is no JSON");
	json_set(body, "params", params);
	return true;
}

// What is not said is the server's default.
static bool add_times(const struct args *args, struct json *body, struct error *error)
{
	long ttl_s = 0;
	if (!args_duration(args, "ttl", 0, &ttl_s, error))
		return false;
	if (ttl_s > 0)
		json_set_int(body, "ttl_s", ttl_s);
	if (args_has(args, "at"))
		json_set_string(body, "at", args_value(args, "at"));
	if (args_has(args, "in-window"))
		json_set_bool(body, "in_window", true);
	return true;
}

static struct json *make_body(const struct cli *cli, const char *action, struct error *error)
{
	auto_json struct json *body = json_new_object();
	json_set_string(body, "action", action);
	json_set_bool(body, "continuous", args_has(&cli->args, "continuous"));
	return add_target(&cli->args, body, error) && add_rollout(&cli->args, body, error) &&
			       add_params(&cli->args, body, error) && add_times(&cli->args, body, error)
		       ? steal(body)
		       : NULL;
}

// ---- preview ----

static void print_preview(const struct json *preview)
{
	bool destructive = false;
	double offline = 0;
	int64_t now_ms = clock_wall_ms();
	(void)json_member_bool(preview, "destructive", &destructive);
	(void)json_member_double(preview, "offline_pct", &offline);
	(void)printf("%s%s on %lld devices: %lld online, %lld offline, %lld never seen (%.0f %% away)\n",
		     text_member(preview, "action"), destructive ? ", which is destructive," : "",
		     number(preview, "devices"), number(preview, "online"), number(preview, "offline"),
		     number(preview, "never"), offline);
	if (number(preview, "left_out") > 0)
		(void)printf("  %lld of those named are left out: unknown, disabled or named twice\n",
			     number(preview, "left_out"));
	(void)printf("  those online by %s", text_time(text_member(preview, "expected_finish"), now_ms).s);
	(void)printf(", all by %s\n", text_time(text_member(preview, "latest_finish"), now_ms).s);
	const struct json *sample = json_member(preview, "sample");
	for (size_t i = 0; i < json_array_length(sample); i++) {
		const char *device = "";
		(void)json_as_string(json_array_at(sample, i), &device);
		(void)printf("%s%s", i > 0 ? ", " : "  ", device);
	}
	(void)printf("%s\n", number(preview, "devices") > (long long)json_array_length(sample) ? ", ..." : "");
}

static int preview_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	auto_json struct json *body = make_body(cli, cli->args.operands[0], &error);
	if (!body)
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *preview = api_request(api, "POST", "/api/v1/campaigns/preview", json_text(body), &error);
	if (!preview)
		return api_fail(cli, &error);
	if (cli->json)
		cli_print_json(preview);
	else
		print_preview(preview);
	return CLI_OK;
}

// ---- create ----

static void print_campaign(const struct json *campaign)
{
	const struct json *progress = json_member(campaign, "progress");
	const char *reason = text_member(campaign, "reason");
	bool in_window = false;
	auto_buf struct buf safe = {0};
	buf_init(&safe, TEXT_MAX_BYTES);
	text_add_safe(&safe, text_member(campaign, "name"));
	(void)printf("campaign %lld \"%s\": %s, %s%s%s\n", number(campaign, "id"), buf_str(&safe),
		     text_member(campaign, "action"), text_member(campaign, "state"),
		     strcmp(text_member(campaign, "state"), "running") == 0 &&
				     strcmp(text_member(campaign, "stage"), "canary") == 0
			     ? " (canaries)"
			     : "",
		     reason[0] ? "; " : "");
	if (reason[0])
		(void)printf("  %s\n", reason);
	(void)printf(
		"  %lld targets: %lld wait, %lld under way, %lld succeeded, %lld failed, %lld rejected, %lld expired,"
		" %lld cancelled\n",
		number(progress, "total"), number(progress, "waiting"), number(progress, "open"),
		number(progress, "succeeded"), number(progress, "failed"), number(progress, "rejected"),
		number(progress, "expired"), number(progress, "cancelled"));
	(void)printf("  made by %s %s", text_member(campaign, "created_by"),
		     text_ago(text_member(campaign, "created_at"), clock_wall_ms()).s);
	if (text_member(campaign, "approved_by")[0])
		(void)printf(", approved by %s", text_member(campaign, "approved_by"));
	(void)printf("\n");
	(void)json_member_bool(campaign, "in_window", &in_window);
	if (text_member(campaign, "at")[0])
		(void)printf("  not before %s\n", text_time(text_member(campaign, "at"), clock_wall_ms()).s);
	if (in_window)
		(void)printf("  in each device's maintenance window\n");
}

// A destructive campaign is made by whoever types how many devices it is for, as --confirm or when asked.
static bool confirm(const struct cli *cli, const struct json *preview, struct error *error)
{
	long long devices = number(preview, "devices");
	const char *typed = args_value(&cli->args, "confirm");
	char line[32] = "";
	char expected[32];
	(void)snprintf(expected, sizeof(expected), "%lld", devices);
	if (!typed && !cli->json && isatty(STDIN_FILENO)) {
		print_preview(preview);
		(void)fprintf(stderr, "Type the number of devices to go on: ");
		if (fgets(line, sizeof(line), stdin))
			line[strcspn(line, "\n")] = '\0';
		typed = line;
	}
	if (typed && strcmp(typed, expected) == 0)
		return true;
	return error_set(error, ERROR_DENIED, "%s is destructive and would be for %lld devices%s%s",
			 text_member(preview, "action"), devices, typed ? ", not " : "", typed ? typed : "");
}

static int create_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	bool destructive = false;
	auto_json struct json *body = make_body(cli, cli->args.operands[1], &error);
	if (!body)
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *preview = api_request(api, "POST", "/api/v1/campaigns/preview", json_text(body), &error);
	if (!preview)
		return api_fail(cli, &error);
	(void)json_member_bool(preview, "destructive", &destructive);
	if (destructive) {
		if (!confirm(cli, preview, &error))
			return cli_fail(cli, &error, "look at the preview, then add --confirm and that number");
		json_set_bool(body, "confirm", true);
		json_set_int(body, "expect", number(preview, "devices"));
	}
	json_set_string(body, "name", cli->args.operands[0]);
	json_set_bool(body, "start", args_has(&cli->args, "start"));
	auto_json struct json *made = api_request(api, "POST", "/api/v1/campaigns", json_text(body), &error);
	if (!made)
		return api_fail(cli, &error);
	if (cli->json) {
		cli_print_json(made);
		return CLI_OK;
	}
	print_campaign(made);
	(void)printf("\nmuster campaign %s %lld\n", args_has(&cli->args, "start") ? "show" : "start",
		     number(made, "id"));
	return CLI_OK;
}

// ---- list, show ----

static void tell_campaigns(const struct json *items)
{
	static const struct table_column columns[] = {
		{.name = "id", .number = true},
		{.name = "name"},
		{.name = "action"},
		{.name = "state"},
		{.name = "targets", .number = true},
		{.name = "waiting", .number = true},
		{.name = "succeeded", .number = true},
		{.name = "failed", .number = true},
		{.name = "by"},
		{.name = "since"},
	};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		const struct json *progress = json_member(item, "progress");
		char cells[5][24];
		(void)snprintf(cells[0], sizeof(cells[0]), "%lld", number(item, "id"));
		(void)snprintf(cells[1], sizeof(cells[1]), "%lld", number(progress, "total"));
		(void)snprintf(cells[2], sizeof(cells[2]), "%lld", number(progress, "waiting"));
		(void)snprintf(cells[3], sizeof(cells[3]), "%lld", number(progress, "succeeded"));
		(void)snprintf(cells[4], sizeof(cells[4]), "%lld",
			       number(progress, "failed") + number(progress, "rejected"));
		TABLE_ROW(table, cells[0], text_member(item, "name"), text_member(item, "action"),
			  text_member(item, "state"), cells[1], cells[2], cells[3], cells[4],
			  text_member(item, "created_by"),
			  text_ago(text_member(item, "created_at"), clock_wall_ms()).s);
	}
	table_print(table, false);
}

static int list_run(struct cli *cli)
{
	return api_show(cli, "/api/v1/campaigns", "", tell_campaigns,
			"there is no campaign yet: muster campaign create NAME ACTION --tag TAG");
}

static bool check_id(const struct cli *cli, struct error *error)
{
	const char *id = cli->args.operands[0];
	return (id[0] && strlen(id) < 19 && strspn(id, "0123456789") == strlen(id)) ||
	       error_set(error, ERROR_INVALID, "\"%s\" is no number of a campaign", id);
}

static int fail(struct cli *cli, const struct error *error)
{
	return error->kind == ERROR_NOT_FOUND || error->kind == ERROR_EXISTS
		       ? cli_fail(cli, error, "muster campaign list shows them, and their states")
		       : api_fail(cli, error);
}

static int show_targets(struct cli *cli, struct api *api)
{
	static const struct table_column columns[] = {
		{.name = "device"}, {.name = "state"}, {.name = "command"}, {.name = "reason"}};
	struct error error = {0};
	char path[PATH_MAX_BYTES];
	auto_buf struct buf filter = {0};
	const char *state = args_value(&cli->args, "status");
	auto_json struct json *answer = json_new_object();
	struct json *items = json_new_array();
	json_set(answer, "items", items);
	buf_init(&filter, PATH_MAX_BYTES);
	if (state) {
		(void)buf_add_str(&filter, "&state=");
		api_add_encoded(&filter, state, strlen(state));
	}
	(void)snprintf(path, sizeof(path), "/api/v1/campaigns/%s/targets", cli->args.operands[0]);
	if (!api_list(api, path, buf_str(&filter), items, &error))
		return fail(cli, &error);
	if (cli->json) {
		cli_print_json(answer);
		return CLI_OK;
	}
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		TABLE_ROW(table, text_member(item, "device"), text_member(item, "state"), text_member(item, "command"),
			  text_member(item, "reason"));
	}
	table_print(table, false);
	return CLI_OK;
}

// GET, or POST with a verb.
static int one(struct cli *cli, const char *verb)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	char path[PATH_MAX_BYTES];
	if (!check_id(cli, &error))
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	if (!verb && args_has(&cli->args, "targets"))
		return show_targets(cli, api);
	(void)snprintf(path, sizeof(path), "/api/v1/campaigns/%s%s%s", cli->args.operands[0], verb ? "/" : "",
		       verb ? verb : "");
	auto_json struct json *campaign = api_request(api, verb ? "POST" : "GET", path, verb ? "{}" : NULL, &error);
	if (!campaign)
		return fail(cli, &error);
	if (cli->json)
		cli_print_json(campaign);
	else
		print_campaign(campaign);
	return CLI_OK;
}

static int show_run(struct cli *cli)
{
	return one(cli, NULL);
}

static int verb_run(struct cli *cli)
{
	return one(cli, cli->verb->verb);
}

#define TARGET_OPTIONS                                                                       \
	{"devices", "A,B", "these devices"}, {"tag", "TAG", "those with a tag"},             \
		{"group", "NAME", "those of a group"}, {"filter", "NAME", "those of a saved filter"}, \
		{"query", "QUERY", "those that match"}, {"all", NULL, "every device"},       \
		{"params", "JSON", "an object, what the action takes"},                      \
		{"ttl", "TIME", "when a device must have begun, from its turn on (1d; with --in-window 8d)"}, \
		{"at", "TIME", "not before, such as 2026-01-31T22:00:00+01:00"},             \
		{"in-window", NULL, "in each device's maintenance window only (muster device set)"}, \
		{"continuous", NULL, "also for devices that match later, until it is aborted"}, \
		{"canary", "N", "so many first (0)"},                                        \
		{"success", "PCT", "of them must succeed, to go on (100)"},                  \
		{"errors", "PCT", "stop when more than this of those that ended failed (10)"}, \
		{"rate", "N", "devices a minute behind the canaries (all at once)"}, {       \
		"factor", "F", "by which the rate grows each minute (1)"                     \
	}

static const struct args_option preview_options[] = {TARGET_OPTIONS, {NULL, NULL, NULL}};
static const struct args_option create_options[] = {
	TARGET_OPTIONS,
	{"confirm", "N", "of a destructive action: for how many devices it is, as the preview says"},
	{"start", NULL, "at once"},
	{NULL, NULL, NULL},
};
static const struct args_option show_options[] = {
	{"targets", NULL, "each device with the state of its command"},
	{"status", "S", "of these, only those that are waiting, sent, succeeded, failed, ..."},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_campaign[] = {
	{"campaign", "preview", "ACTION", 1, 1, "for how many devices it would be, and until when", preview_options,
	 preview_run},
	{"campaign", "create", "NAME ACTION", 2, 2, "one action on many devices, little by little", create_options,
	 create_run},
	{"campaign", "list", NULL, 0, 0, "all campaigns", NULL, list_run},
	{"campaign", "show", "ID", 1, 1, "how far one has come", show_options, show_run},
	{"campaign", "start", "ID", 1, 1, "begin", NULL, verb_run},
	{"campaign", "pause", "ID", 1, 1, "send no more for now", NULL, verb_run},
	{"campaign", "resume", "ID", 1, 1, "go on", NULL, verb_run},
	{"campaign", "abort", "ID", 1, 1, "end it; what was not sent is cancelled", NULL, verb_run},
	{"campaign", "approve", "ID", 1, 1, "agree to one that somebody else made", NULL, verb_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
