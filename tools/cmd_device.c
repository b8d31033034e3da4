// muster device list|show, over the dashboard's API.
#include "common/clock.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 500 // the API's largest

static bool open_api(struct cli *cli, struct api **api, struct error *error)
{
	if (!cli_open(cli, error))
		return false;
	*api = api_new(&cli->stack, error);
	return *api != NULL;
}

// ---- values for people ----

static void age_text(char out[32], const char *rfc3339)
{
	int64_t then_ms = 0;
	out[0] = '\0';
	if (!rfc3339 || !clock_parse_rfc3339(rfc3339, strlen(rfc3339), &then_ms))
		return;
	int64_t seconds = (clock_wall_ms() - then_ms) / 1000;
	if (seconds < 120)
		(void)snprintf(out, 32, "%d s ago", seconds < 0 ? 0 : (int)seconds);
	else if (seconds < 7200)
		(void)snprintf(out, 32, "%d min ago", (int)(seconds / 60));
	else if (seconds < 172800)
		(void)snprintf(out, 32, "%d h ago", (int)(seconds / 3600));
	else
		(void)snprintf(out, 32, "%lld d ago", (long long)(seconds / 86400));
}

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

// ---- list ----

static void add_device(struct table *table, const struct json *item)
{
	const struct json *latest = json_member(item, "latest");
	const char *device = "";
	const char *status = "";
	const char *seen = NULL;
	const char *version = "";
	char age[32];
	char cpu[16];
	char memory[16];
	char disk[16];
	char battery[16];
	(void)json_member_string(item, "device", &device);
	(void)json_member_string(item, "status", &status);
	(void)json_member_string(item, "last_seen", &seen);
	(void)json_member_string(item, "agent_version", &version);
	age_text(age, seen);
	TABLE_ROW(table, device, status, age, percent(cpu, latest, "cpu_pct"),
		  share_used(memory, latest, "mem_total", "mem_available"),
		  share_used(disk, latest, "disk_total", "disk_free"), percent(battery, latest, "battery_pct"),
		  version);
}

static bool is_plain(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(text);
}

// Follows the pages, handing each item over to items.
static bool fetch_all(struct api *api, const char *filter, struct json *items, struct error *error)
{
	char path[512];
	char after[300] = "";
	do {
		const char *next = NULL;
		(void)snprintf(path, sizeof(path), "/api/v1/devices?limit=%d%s%s%s", PAGE, filter,
			       after[0] ? "&after=" : "", after);
		auto_json struct json *page = api_request(api, "GET", path, NULL, error);
		if (!page)
			return false;
		const struct json *list = json_member(page, "items");
		for (size_t i = 0; i < json_array_length(list); i++)
			json_append(items, json_copy(json_array_at(list, i)));
		after[0] = '\0';
		if (json_member_string(page, "next", &next))
			(void)snprintf(after, sizeof(after), "%s", next);
	} while (after[0]);
	return true;
}

static int list_run(struct cli *cli)
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
	struct error error;
	struct api *api cleanup(api_free_cleanup) = NULL;
	const char *status = args_value(&cli->args, "status");
	const char *search = args_value(&cli->args, "search");
	char filter[200];
	if ((status && !is_plain(status)) || (search && (!is_plain(search) || strlen(search) > 100))) {
		error_set(&error, ERROR_INVALID,
			  "--status and --search take letters, digits, dot, dash and underscore");
		return cli_usage(cli, &error);
	}
	(void)snprintf(filter, sizeof(filter), "%s%.16s%s%.100s", status ? "&status=" : "", status ? status : "",
		       search ? "&q=" : "", search ? search : "");
	if (!open_api(cli, &api, &error))
		return cli_fail(cli, &error, NULL);
	auto_json struct json *answer = json_new_object();
	struct json *items = json_new_array();
	json_set(answer, "items", items);
	if (!fetch_all(api, filter, items, &error))
		return cli_fail(cli, &error, NULL);
	if (cli->json) {
		cli_print_json(answer);
		return CLI_OK;
	}
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++)
		add_device(table, json_array_at(items, i));
	table_print(table, false);
	return CLI_OK;
}

// ---- show ----

static void print_member(const char *label, const struct json *object, const char *name)
{
	const char *text = NULL;
	if (json_member_string(object, name, &text))
		(void)printf("  %-14s %s\n", label, text);
}

static void print_latest(const struct json *latest)
{
	struct json_iterator it = json_begin(latest);
	while (json_next(&it)) {
		auto_json struct json *value = json_copy(it.value);
		(void)printf("  %-14s %s\n", it.name, json_text(value));
	}
}

static void print_ledger(const struct json *ledger)
{
	for (size_t i = 0; i < json_array_length(ledger); i++) {
		const struct json *epoch = json_array_at(ledger, i);
		const char *name = "";
		int64_t contiguous = 0;
		int64_t open = 0;
		int64_t duplicates = 0;
		int64_t dropped = 0;
		(void)json_member_string(epoch, "epoch", &name);
		(void)json_member_int(epoch, "contiguous", &contiguous);
		(void)json_member_int(epoch, "open", &open);
		(void)json_member_int(epoch, "duplicates", &duplicates);
		(void)json_member_int(epoch, "dropped", &dropped);
		(void)printf("  %-14.14s %lld stored, %lld on their way, %lld came again and were stored once, %lld "
			     "lost (dropped by"
			     " a full outbox)\n",
			     name, (long long)(contiguous - dropped), (long long)open, (long long)duplicates,
			     (long long)dropped);
	}
}

static void print_commands(const struct json *commands)
{
	for (size_t i = 0; i < json_array_length(commands); i++) {
		const struct json *command = json_array_at(commands, i);
		const char *id = "";
		const char *action = "";
		const char *state = "";
		const char *reason = "";
		(void)json_member_string(command, "id", &id);
		(void)json_member_string(command, "action", &action);
		(void)json_member_string(command, "state", &state);
		(void)json_member_string(command, "reason", &reason);
		(void)printf("  %s  %-12s %s%s%s\n", id, action, state, reason[0] ? ": " : "", reason);
	}
}

static void print_device(const struct json *device)
{
	const struct json *certificate = json_member(device, "certificate");
	const char *name = "";
	(void)json_member_string(device, "device", &name);
	(void)printf("%s\n", name);
	print_member("status", device, "status");
	print_member("why", device, "why");
	print_member("since", device, "since");
	print_member("last seen", device, "last_seen");
	print_member("enrolled", device, "enrolled_at");
	print_member("agent", device, "agent_version");
	print_member("certificate", certificate, "serial");
	print_member("valid until", certificate, "not_after");
	(void)printf("\nlatest\n");
	print_latest(json_member(device, "latest"));
	(void)printf("\nledger\n");
	print_ledger(json_member(device, "ledger"));
	(void)printf("\ncommands\n");
	print_commands(json_member(device, "commands"));
}

static int show_run(struct cli *cli)
{
	struct error error;
	struct api *api cleanup(api_free_cleanup) = NULL;
	char path[128];
	const char *name = cli->args.operands[0];
	if (!topic_is_device_id(name)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no device id", name);
		return cli_usage(cli, &error);
	}
	if (!open_api(cli, &api, &error))
		return cli_fail(cli, &error, NULL);
	(void)snprintf(path, sizeof(path), "/api/v1/devices/%s", name);
	auto_json struct json *device = api_request(api, "GET", path, NULL, &error);
	if (!device) {
		if (error.kind == ERROR_NOT_FOUND)
			error_set(&error, ERROR_NOT_FOUND, "there is no device \"%s\"", name);
		return cli_fail(cli, &error,
				error.kind == ERROR_NOT_FOUND ? "muster device list shows them all" : NULL);
	}
	if (cli->json)
		cli_print_json(device);
	else
		print_device(device);
	return CLI_OK;
}

static const struct args_option list_options[] = {
	{"status", "S", "only online, stale, offline or never"},
	{"search", "TEXT", "only those with TEXT in id, name or tags"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_device[] = {
	{"device", "list", NULL, 0, 0, "all devices with their latest values", list_options, list_run},
	{"device", "show", "DEVICE", 1, 1, "all that is known of one", NULL, show_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
