// muster alert list|ack|rules|silence: what is wrong, and what people do about it, over the dashboard's API.
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 160
#define HINT "muster alert list --all shows them"
#define SILENCE_S 7200 // unless it is said otherwise

static const char *number_of(const struct json *item, const char *name, char out[24])
{
	int64_t value = 0;
	(void)json_member_int(item, name, &value);
	(void)snprintf(out, 24, "%lld", (long long)value);
	return out;
}

static void tell_alerts(const struct json *items)
{
	static const struct table_column columns[] = {{.name = "id", .number = true},
						      {.name = "severity"},
						      {.name = "state"},
						      {.name = "about"},
						      {.name = "what"},
						      {.name = "raised"},
						      {.name = "acknowledged_by"}};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		char id[24];
		TABLE_ROW(table, number_of(item, "id", id), text_member(item, "severity"), text_member(item, "state"),
			  text_member(item, "object"), text_member(item, "title"), text_member(item, "raised_at"),
			  text_member(item, "acknowledged_by"));
	}
	table_print(table, false);
}

static int list_run(struct cli *cli)
{
	return api_show(cli, "/api/v1/alerts", args_has(&cli->args, "all") ? "" : "&state=active", tell_alerts,
			"nothing is wrong");
}

static void tell_rules(const struct json *items)
{
	static const struct table_column columns[] = {{.name = "id", .number = true},
						      {.name = "severity"},
						      {.name = "enabled"},
						      {.name = "kind"},
						      {.name = "name"},
						      {.name = "looks_for"},
						      {.name = "query"},
						      {.name = "active", .number = true}};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		bool enabled = false;
		char id[24], active[24];
		(void)json_member_bool(item, "enabled", &enabled);
		TABLE_ROW(table, number_of(item, "id", id), text_member(item, "severity"), enabled ? "yes" : "no",
			  text_member(item, "kind"), text_member(item, "name"), text_member(item, "looks_for"),
			  text_member(item, "query"), number_of(item, "active", active));
	}
	table_print(table, false);
}

static int rules_run(struct cli *cli)
{
	return api_show(cli, "/api/v1/alert-rules", "", tell_rules, "there is no rule: nothing is looked for");
}

static void tell_acknowledged(const struct json *alert)
{
	char id[24];
	(void)printf("alert %s is acknowledged\n", number_of(alert, "id", id));
}

static void tell_undone(const struct json *alert)
{
	char id[24];
	(void)printf("alert %s is not acknowledged any more\n", number_of(alert, "id", id));
}

static int ack_run(struct cli *cli)
{
	struct error error = {0};
	const char *id = cli->args.operands[0];
	char path[PATH_MAX_BYTES];
	auto_json struct json *body = json_new_object();
	if (strlen(id) > 18 || strspn(id, "0123456789") != strlen(id)) {
		error_set(&error, ERROR_INVALID, "\"%.40s\" is no alert's number", id);
		return cli_usage(cli, &error);
	}
	json_set_bool(body, "acknowledged", !args_has(&cli->args, "undo"));
	if (args_value(&cli->args, "comment"))
		json_set_string(body, "comment", args_value(&cli->args, "comment"));
	(void)snprintf(path, sizeof(path), "/api/v1/alerts/%s/acknowledge", id);
	return api_ask(cli, "POST", path, body, HINT, args_has(&cli->args, "undo") ? tell_undone : tell_acknowledged);
}

static void tell_silence(const struct json *silence)
{
	(void)printf("nobody is told until %s; alerts are shown all the same\n",
		     text_instant(text_member(silence, "until")).s);
}

static int silence_run(struct cli *cli)
{
	struct error error = {0};
	long for_s = SILENCE_S;
	auto_json struct json *body = json_new_object();
	if (!args_duration(&cli->args, "for", SILENCE_S, &for_s, &error))
		return cli_usage(cli, &error);
	json_set_string(body, "reason", cli->args.operands[0]);
	json_set_int(body, "for_s", for_s);
	if (args_value(&cli->args, "query"))
		json_set_string(body, "query", args_value(&cli->args, "query"));
	return api_ask(cli, "POST", "/api/v1/silences", body, HINT, tell_silence);
}

static const struct args_option list_options[] = {
	{"all", NULL, "also those that are over"},
	{NULL, NULL, NULL},
};
static const struct args_option ack_options[] = {
	{"comment", "TEXT", "what is known"},
	{"undo", NULL, "take it back"},
	{NULL, NULL, NULL},
};
static const struct args_option silence_options[] = {
	{"query", "QUERY", "only about devices that match"},
	{"for", "TIME", "for how long (2h)"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_alert[] = {
	{"alert", "list", NULL, 0, 0, "what is wrong now", list_options, list_run},
	{"alert", "ack", "ID", 1, 1, "say that you know of one", ack_options, ack_run},
	{"alert", "rules", NULL, 0, 0, "what is looked for", NULL, rules_run},
	{"alert", "silence", "REASON", 1, 1, "tell nobody for a while", silence_options, silence_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
