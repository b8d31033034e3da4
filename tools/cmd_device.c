// muster device list|show|set, over the dashboard's API.
#include "common/clock.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/device_text.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER_MAX_BYTES 16384 // a query with every byte encoded
#define TEXT_MAX_BYTES ((size_t)1024 * 1024)

// ---- list ----

static const char *percent(char out[16], const struct json *latest, const char *name)
{
	double value = 0;
	out[0] = '\0';
	if (json_member_double(latest, name, &value))
		(void)snprintf(out, 16, "%.0f", value);
	return out;
}

static const char *share_used(char out[16], const struct json *latest, const char *total_name, const char *free_name)
{
	double total = 0;
	double free_bytes = 0;
	out[0] = '\0';
	if (json_member_double(latest, total_name, &total) && json_member_double(latest, free_name, &free_bytes) &&
	    total > 0)
		(void)snprintf(out, 16, "%.0f", 100 - 100 * free_bytes / total);
	return out;
}

static void add_device(struct table *table, const struct json *item)
{
	const struct json *latest = json_member(item, "latest");
	const char *device = "";
	const char *status = "";
	const char *seen = NULL;
	const char *version = "";
	const struct json *disabled = json_member(item, "disabled");
	const char *revoked_at = NULL;
	char status_text[128];
	char cpu[16];
	char memory[16];
	char disk[16];
	char battery[16];
	(void)json_member_string(item, "device", &device);
	(void)json_member_string(item, "status", &status);
	(void)json_member_string(item, "last_seen", &seen);
	(void)json_member_string(item, "agent_version", &version);
	(void)snprintf(status_text, sizeof(status_text), "%s", status);
	if (json_member_string(disabled, "at", &revoked_at))
		(void)snprintf(status_text, sizeof(status_text), "revoked %.90s",
			       text_ago(revoked_at, clock_wall_ms()).s);
	TABLE_ROW(table, device, status_text, text_ago(seen, clock_wall_ms()).s, percent(cpu, latest, "cpu_pct"),
		  share_used(memory, latest, "mem_total", "mem_available"),
		  share_used(disk, latest, "disk_total", "disk_free"), percent(battery, latest, "battery_pct"),
		  version);
}

static bool is_plain(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(text);
}

static void print_devices(const struct json *items)
{
	static const struct table_column columns[] = {
		{.name = "device"},
		{.name = "status"},
		{.name = "seen"},
		{.name = "cpu %", .number = true},
		{.name = "memory %", .number = true},
		{.name = "disk %", .number = true},
		{.name = "battery %", .number = true},
		{.name = "agent"},
	};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++)
		add_device(table, json_array_at(items, i));
	table_print(table, false);
}

static int list_run(struct cli *cli)
{
	struct error error;
	const char *status = args_value(&cli->args, "status");
	const char *search = args_value(&cli->args, "search");
	const char *query = args_value(&cli->args, "query");
	if ((status && !is_plain(status)) || (search && (!is_plain(search) || strlen(search) > 100))) {
		error_set(&error, ERROR_INVALID,
			  "--status and --search take letters, digits, dot, dash and underscore");
		return cli_usage(cli, &error);
	}
	auto_buf struct buf filter = {0};
	buf_init(&filter, FILTER_MAX_BYTES);
	(void)buf_addf(&filter, "%s%s%s%s%s", status ? "&status=" : "", status ? status : "", search ? "&q=" : "",
		       search ? search : "", query ? "&query=" : "");
	if (query)
		api_add_encoded(&filter, query, strlen(query));
	return api_show(cli, "/api/v1/devices", buf_str(&filter), print_devices,
			filter.len_bytes > 0 ? "no device matches"
					     : "no device is known yet; muster token create lets one enrol");
}

// ---- show ----

static void print_device(const struct json *device)
{
	auto_buf struct buf text = {0};
	buf_init(&text, TEXT_MAX_BYTES);
	device_text(device, clock_wall_ms(), &text);
	(void)fputs(buf_str(&text), stdout);
}

// Asks for the device that is named first, at suffix below its path. NULL when that failed: *exit_code says how, and
// people have been told.
static struct json *ask_device(struct cli *cli, const char *method, const char *suffix, const char *body,
			       int *exit_code)
{
	struct error error = {0};
	char path[128];
	const char *name = cli->args.operands[0];
	if (!topic_is_device_id(name)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no device id", name);
		*exit_code = cli_usage(cli, &error);
		return NULL;
	}
	auto_api struct api *api = api_open(cli, exit_code);
	if (!api)
		return NULL;
	(void)snprintf(path, sizeof(path), "/api/v1/devices/%s%s", name, suffix);
	struct json *answer = api_request(api, method, path, body, &error);
	if (!answer)
		*exit_code = error.kind == ERROR_NOT_FOUND ? api_no_device(cli, name) : api_fail(cli, &error);
	return answer;
}

static int show_run(struct cli *cli)
{
	int exit_code = CLI_OK;
	auto_json struct json *device = ask_device(cli, "GET", "", NULL, &exit_code);
	if (!device)
		return exit_code;
	if (cli->json)
		cli_print_json(device);
	else
		print_device(device);
	return CLI_OK;
}

// ---- set ----

// "3" or "1-5"; appends the days with commas.
static bool add_days(struct buf *out, const char *token, size_t length)
{
	int first = token[0] - '0';
	int last = length == 3 && token[1] == '-' ? token[2] - '0' : first;
	if ((length != 1 && length != 3) || first < 1 || last > 7 || first > last || (length == 3 && token[1] != '-'))
		return false;
	for (int day = first; day <= last; day++)
		buf_addf(out, "%s%d", out->len_bytes > strlen("{\"days\":[") ? "," : "", day);
	return true;
}

// "1-5 02:00-05:00" or "6,7 22:00-04:00": ISO days and local times. Whether the times are any is for the server to say.
static struct json *parse_window(const char *text, struct error *error)
{
	auto_buf struct buf out = {0};
	char from[6] = "";
	char to[6] = "";
	int end = 0;
	const char *at = text;
	bool sound = true;
	buf_init(&out, 256);
	buf_add_str(&out, "{\"days\":[");
	for (bool more = true; sound && more;) {
		size_t length = strcspn(at, ", ");
		sound = add_days(&out, at, length);
		more = at[length] == ',';
		at += length + (more ? 1 : 0);
	}
	if (!sound || sscanf(at, " %5[0-9:]-%5[0-9:]%n", from, to, &end) != 2 || at[end] != '\0') {
		error_set(error, ERROR_INVALID, "\"%s\" is no window such as \"1-5 02:00-05:00\" (1 is Monday)", text);
		return NULL;
	}
	buf_addf(&out, "],\"from\":\"%s\",\"to\":\"%s\"}", from, to);
	return json_parse(buf_str(&out), out.len_bytes, error);
}

static struct json *settings_body(const struct cli *cli, struct error *error)
{
	const char *policy = args_value(&cli->args, "policy");
	const char *zone = args_value(&cli->args, "time-zone");
	const char *window = args_value(&cli->args, "window");
	auto_json struct json *body = json_new_object();
	if (!policy && !zone && !window) {
		error_set(error, ERROR_INVALID, "say what: --policy, --time-zone or --window");
		return NULL;
	}
	if (policy)
		json_set_string(body, "command_policy", policy);
	if (zone)
		json_set_string(body, "time_zone", zone);
	if (window && strcmp(window, "none") == 0) {
		json_set_string(body, "maintenance_window", NULL);
	} else if (window) {
		struct json *parsed = parse_window(window, error);
		if (!parsed)
			return NULL;
		json_set(body, "maintenance_window", parsed);
	}
	return steal(body);
}

static int set_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	auto_json struct json *body = settings_body(cli, &error);
	if (!body)
		return cli_usage(cli, &error);
	auto_json struct json *settings = ask_device(cli, "PATCH", "", json_text(body), &exit_code);
	if (!settings)
		return exit_code;
	if (cli->json)
		cli_print_json(settings);
	else
		(void)printf("set\n");
	return CLI_OK;
}

static const struct args_option set_options[] = {
	{"policy", "P", "its commands go one by one (one), or at once (burst)"},
	{"time-zone", "ZONE", "such as Europe/Berlin"},
	{"window", "W", "maintenance window in its time zone, \"1-5 02:00-05:00\" (1 is Monday), or none"},
	{NULL, NULL, NULL},
};

// ---- wake ----

static int wake_run(struct cli *cli)
{
	int exit_code = CLI_OK;
	const char *name = cli->args.operands[0];
	auto_json struct json *wake = ask_device(cli, "POST", "/wake", "{}", &exit_code);
	if (!wake)
		return exit_code;
	if (cli->json)
		cli_print_json(wake);
	else
		(void)printf("%s is being woken; muster device show %s says what came of it\n", name, name);
	return CLI_OK;
}

static const struct args_option list_options[] = {
	{"status", "S", "only online, stale, offline or never"},
	{"query", "QUERY", "only those that match, as in 'status:offline tag:kiosk battery<20'"},
	{"search", "TEXT", "only those with TEXT in id, name or tags"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_device[] = {
	{"device", "list", NULL, 0, 0, "all devices with their latest values", list_options, list_run},
	{"device", "show", "DEVICE", 1, 1, "all that is known of one", NULL, show_run},
	{"device", "set", "DEVICE", 1, 1, "how its commands go, its time zone and maintenance window", set_options,
	 set_run},
	{"device", "wake", "DEVICE", 1, 1, "wake one that sleeps, through its push service", NULL, wake_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
