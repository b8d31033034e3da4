// muster device pending|approve|reject: devices that registered themselves, over the dashboard's API; and
// muster device preapprove|preapproved: the list of serial numbers that need nobody's decision.
#include "common/clock.h"
#include "common/file.h"
#include "common/preapproval.h"
#include "common/topic.h"
#include "tools/account.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_MAX_BYTES 2048
#define FAULTS_MAX_BYTES 8192
#define CELL_MAX 2147483647 // integer of PostgreSQL

static const char sql_listed[] = "select serial, coalesce(device, ''), array_to_string(tags, ','), created_by,"
				 " to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
				 " coalesce(to_char(used_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '')"
				 " from preapproved order by serial";

// "model=X,serial=Y*" as "&model=X&serial=Y%2A".
static bool add_matching(struct buf *query, const char *matching, struct error *error)
{
	static const char *const names[] = {"serial", "device", "model", "os", "peer", "fingerprint"};
	for (const char *at = matching; *at;) {
		size_t length = strcspn(at, ",");
		size_t name_bytes = strcspn(at, "=");
		bool known = false;
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			known = known || (strlen(names[i]) == name_bytes && strncmp(names[i], at, name_bytes) == 0);
		if (!known || name_bytes + 1 >= length)
			return error_set(
				error, ERROR_INVALID,
				"\"%.*s\" is no condition: use serial=, device=, model=, os=, peer= or fingerprint= "
				"with a text in which * stands for any",
				(int)(length > 80 ? 80 : length), at);
		(void)buf_addf(query, "&%.*s=", (int)name_bytes, at);
		api_add_encoded(query, at + name_bytes + 1, length - name_bytes - 1);
		at += length + (at[length] == ',');
	}
	return !query->overflowed || error_set(error, ERROR_LIMIT, "the conditions are too long");
}

// An object with "items".
static struct json *fetch(struct api *api, const char *query, struct error *error)
{
	auto_json struct json *all = json_new_object();
	struct json *items = json_new_array();
	json_set(all, "items", items);
	return api_list(api, "/api/v1/registrations", query, items, error) ? steal(all) : NULL;
}

static void print_table(const struct json *items)
{
	static const struct table_column columns[] = {
		{.name = "id"},	    {.name = "state"}, {.name = "since"}, {.name = "asked"}, {.name = "serial"},
		{.name = "device"}, {.name = "model"}, {.name = "os"},	  {.name = "from"},  {.name = "said"}};
	int64_t now_ms = clock_wall_ms();
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		const struct json *info = json_member(item, "info");
		const char *device = text_member(item, "device");
		bool taken = false;
		char name[2 * DEVICE_ID_MAX];
		char said[512];
		(void)json_member_bool(item, "taken", &taken);
		(void)snprintf(name, sizeof(name), "%s%s", *device ? device : text_member(item, "wish"),
			       taken ? " (taken)" : "");
		(void)snprintf(said, sizeof(said), "%s%s%s", text_member(item, "decided_by"),
			       *text_member(item, "decided_by") && *text_member(item, "reason") ? ": " : "",
			       text_member(item, "reason"));
		TABLE_ROW(table, text_member(item, "id"), text_member(item, "state"),
			  text_ago(text_member(item, "created_at"), now_ms).s,
			  text_ago(text_member(item, "polled_at"), now_ms).s, text_member(item, "serial"), name,
			  text_member(info, "model"), text_member(info, "os"), text_member(item, "peer"), said);
	}
	table_print(table, false);
}

// ---- pending ----

static bool make_query(const struct cli *cli, struct buf *query, const char *matching, struct error *error)
{
	const char *status = args_value(&cli->args, "status");
	if (!status)
		status = "pending";
	if (strcmp(status, "all") != 0) {
		(void)buf_add_str(query, "&state=");
		api_add_encoded(query, status, strlen(status));
	}
	return !matching || add_matching(query, matching, error);
}

static int pending_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	auto_buf struct buf query = {0};
	buf_init(&query, QUERY_MAX_BYTES);
	if (!make_query(cli, &query, args_value(&cli->args, "matching"), &error))
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *answer = fetch(api, buf_str(&query), &error);
	if (!answer)
		return api_fail(cli, &error);
	const struct json *items = json_member(answer, "items");
	if (cli->json)
		cli_print_json(answer);
	else if (json_array_length(items) == 0)
		(void)printf("no device waits to be let in\n");
	else
		print_table(items);
	return CLI_OK;
}

// ---- decisions ----

struct decisions {
	struct cli *cli;
	struct api *api;
	const char *verb; // "approve"
	const char *body;
	struct json *results; // array
	size_t done;
	struct error error; // the last
};

static bool make_approval(const struct cli *cli, struct json *body, struct error *error)
{
	const char *device = args_value(&cli->args, "device");
	const char *tags = args_value(&cli->args, "tags");
	long cell = 0;
	if (device && !topic_is_device_id(device))
		return error_set(error, ERROR_INVALID, "\"%s\" is no device id: it must match [a-z0-9][a-z0-9-]{0,62}",
				 device);
	if (device && cli->args.operand_count != 1)
		return error_set(error, ERROR_INVALID, "--device names one: give one ID with it");
	if (!args_int(&cli->args, "cell", 1, CELL_MAX, 0, &cell, error))
		return false;
	if (device)
		json_set_string(body, "device", device);
	if (cell)
		json_set_int(body, "cell", cell);
	if (args_has(&cli->args, "replace"))
		json_set_bool(body, "replace", true);
	struct json *list = json_new_array();
	json_set(body, "tags", list);
	text_append_pieces(list, tags ? tags : "", ",");
	return true;
}

static bool is_id(const char *text)
{
	return strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
}

static void decide(struct decisions *decisions, const char *id)
{
	char path[96];
	struct json *result = json_new_object();
	(void)snprintf(path, sizeof(path), "/api/v1/registrations/%s/%s", id, decisions->verb);
	auto_json struct json *answer = api_request(decisions->api, "POST", path, decisions->body, &decisions->error);
	json_set_string(result, "id", id);
	if (answer) {
		decisions->done++;
		json_set_string(result, "state", text_member(answer, "state"));
		json_set_string(result, "device",
				*text_member(answer, "device") ? text_member(answer, "device") : NULL);
		if (!decisions->cli->json)
			(void)printf("%s %s%s%s\n", id, text_member(answer, "state"),
				     *text_member(answer, "device") ? " as " : "", text_member(answer, "device"));
	} else {
		json_set_string(result, "error", decisions->error.what);
		if (!decisions->cli->json)
			(void)fprintf(stderr, "%s: %s\n", id, decisions->error.what);
	}
	json_append(decisions->results, result);
}

// Prints what would be decided on; nothing is done without --yes.
static int preview(struct cli *cli, struct json *matching)
{
	const struct json *items = json_member(matching, "items");
	if (cli->json) {
		json_set_bool(matching, "done", false);
		cli_print_json(matching);
		return CLI_OK;
	}
	if (json_array_length(items) > 0)
		print_table(items);
	(void)printf("%zu match%s; nothing was done: with --yes they are decided on\n", json_array_length(items),
		     json_array_length(items) == 1 ? "es" : "");
	return CLI_OK;
}

static int finish(struct decisions *decisions)
{
	auto_json struct json *report = json_new_object();
	size_t count = json_array_length(decisions->results);
	json_set(report, "items", decisions->results);
	json_set_bool(report, "done", true);
	if (decisions->cli->json)
		cli_print_json(report);
	else if (count == 0)
		(void)printf("none matches; nothing was done\n");
	if (decisions->done == count)
		return CLI_OK;
	if (decisions->done > 0)
		return CLI_PARTLY;
	return (int)cli_exit_of(decisions->error.kind);
}

static int decide_all(struct cli *cli, const char *verb, struct json *body)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	const char *matching = args_value(&cli->args, "all-matching");
	auto_buf struct buf query = {0};
	buf_init(&query, QUERY_MAX_BYTES);
	if ((matching != NULL) == (cli->args.operand_count > 0)) {
		error_set(&error, ERROR_INVALID, "give IDs, or --all-matching with conditions");
		return cli_usage(cli, &error);
	}
	for (size_t i = 0; i < cli->args.operand_count; i++) {
		if (!is_id(cli->args.operands[i])) {
			error_set(&error, ERROR_INVALID,
				  "\"%s\" is no registration: muster device pending shows their ids",
				  cli->args.operands[i]);
			return cli_usage(cli, &error);
		}
	}
	if (!make_query(cli, &query, matching, &error))
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	struct decisions decisions = {.cli = cli, .api = api, .verb = verb, .body = json_text(body)};
	auto_json struct json *found = matching ? fetch(api, buf_str(&query), &error) : NULL;
	if (matching && !found)
		return api_fail(cli, &error);
	if (matching && !args_has(&cli->args, "yes"))
		return preview(cli, found);
	decisions.results = json_new_array();
	for (size_t i = 0; i < cli->args.operand_count; i++)
		decide(&decisions, cli->args.operands[i]);
	// Exactly those that were found, and none that came since.
	const struct json *items = found ? json_member(found, "items") : NULL;
	for (size_t i = 0; items && i < json_array_length(items); i++)
		decide(&decisions, text_member(json_array_at(items, i), "id"));
	return finish(&decisions);
}

static int approve_run(struct cli *cli)
{
	struct error error = {0};
	auto_json struct json *body = json_new_object();
	const char *reason = args_value(&cli->args, "reason");
	if (!make_approval(cli, body, &error))
		return cli_usage(cli, &error);
	if (reason)
		json_set_string(body, "reason", reason);
	return decide_all(cli, "approve", body);
}

static int reject_run(struct cli *cli)
{
	auto_json struct json *body = json_new_object();
	const char *reason = args_value(&cli->args, "reason");
	if (reason)
		json_set_string(body, "reason", reason);
	return decide_all(cli, "reject", body);
}

// ---- the list of serial numbers ----

static int fail_file(const struct cli *cli, const char *path, const struct buf *faults)
{
	struct error error = {0};
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		struct json *lines = json_new_array();
		json_set_string(json, "error", "nothing was imported");
		text_append_pieces(lines, buf_str(faults), "\n");
		json_set(json, "lines", lines);
		(void)fprintf(stderr, "%s\n", json_text(json));
		return CLI_FAILED;
	}
	(void)fputs(buf_str(faults), stderr);
	error_set(&error, ERROR_INVALID, "%.200s: nothing was imported", path);
	return cli_fail(cli, &error, "correct these lines and import the file again: serial,device,tags");
}

static int report_import(const struct cli *cli, const struct preapproval_counts *counts)
{
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_int(json, "added", counts->added);
		json_set_int(json, "changed", counts->changed);
		json_set_int(json, "unchanged", counts->unchanged);
		json_set_int(json, "used", counts->used);
		cli_print_json(json);
		return CLI_OK;
	}
	(void)printf("%ld added, %ld changed, %ld as they were", counts->added, counts->changed, counts->unchanged);
	if (counts->used > 0)
		(void)printf(", %ld left alone: they let a device in already (--remove SERIAL makes room for another)",
			     counts->used);
	(void)printf("\n");
	return CLI_OK;
}

static bool import_list(struct pg *pg, const struct preapprovals *list, struct preapproval_counts *counts,
			struct buf *faults, struct error *error)
{
	char actor[ACCOUNT_ACTOR_BYTES], detail[PREAPPROVAL_TOLD_BYTES];

	if (!pg_begin(pg, error))
		return false;
	if (preapprovals_import(pg, list, account_actor(actor), counts, faults, error)) {
		preapprovals_told(counts, detail);
		if (account_audit(pg, "preapproval.import", "", detail, error))
			return pg_commit(pg, error);
	}
	pg_rollback(pg);
	return false;
}

static bool remove_listed(struct pg *pg, const char *serial, struct error *error)
{
	if (!pg_begin(pg, error))
		return false;
	if (preapproval_remove(pg, serial, error) && account_audit(pg, "preapproval.remove", serial, "{}", error))
		return pg_commit(pg, error);
	pg_rollback(pg);
	return false;
}

static int import_file(struct cli *cli, const char *path, char *text, size_t len_bytes)
{
	struct error error = {0};
	struct preapprovals list auto_preapprovals = {0};
	struct preapproval_counts counts = {0};
	auto_buf struct buf faults = {0};
	buf_init(&faults, FAULTS_MAX_BYTES);
	if (strlen(text) != len_bytes)
		(void)buf_add_str(&faults, "it holds zero bytes: save it as CSV in UTF-8\n");
	if (faults.len_bytes > 0 || !preapprovals_parse(text, &list, &faults))
		return fail_file(cli, path, &faults);
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (pg && import_list(pg, &list, &counts, &faults, &error))
		return report_import(cli, &counts);
	if (pg && error.kind == ERROR_EXISTS)
		return fail_file(cli, path, &faults);
	return cli_fail(cli, &error, NULL);
}

static int remove_serial(struct cli *cli, const char *serial)
{
	struct error error = {0};
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !remove_listed(pg, serial, &error))
		return cli_fail(cli, &error,
				error.kind == ERROR_NOT_FOUND ? "muster device preapproved shows the list" : NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "serial", serial);
		json_set_bool(json, "removed", true);
		cli_print_json(json);
	} else {
		(void)printf("removed\n");
	}
	return CLI_OK;
}

static int preapprove_run(struct cli *cli)
{
	struct error error = {0};
	const char *serial = args_value(&cli->args, "remove");
	size_t len_bytes = 0;
	if ((serial != NULL) == (cli->args.operand_count > 0)) {
		error_set(&error, ERROR_INVALID, "give a FILE, or --remove with a serial number");
		return cli_usage(cli, &error);
	}
	if (serial)
		return remove_serial(cli, serial);
	// Before root's rights are given up.
	const char *path = cli->args.operands[0];
	auto_free char *text = file_read(path, PREAPPROVAL_FILE_MAX_BYTES, &len_bytes, &error);
	if (!text)
		return cli_fail(cli, &error, "a CSV file with the columns serial,device,tags, at most 16 MB");
	return import_file(cli, path, text, len_bytes);
}

static int preapproved_run(struct cli *cli)
{
	static const struct table_column columns[] = {{.name = "serial"},     {.name = "device"},
						      {.name = "tags"},	      {.name = "created_by"},
						      {.name = "created_at"}, {.name = "used_at"}};
	struct error error = {0};
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	auto_pg_result struct pg_result *rows = NULL;
	if (!pg || !pg_query(pg, &rows, &error, sql_listed, 0, NULL))
		return cli_fail(cli, &error, NULL);
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t row = 0; row < pg_rows(rows); row++)
		TABLE_ROW(table, pg_text(rows, row, 0), pg_text(rows, row, 1), pg_text(rows, row, 2),
			  pg_text(rows, row, 3), pg_text(rows, row, 4), pg_text(rows, row, 5));
	table_print(table, cli->json);
	if (!cli->json && pg_rows(rows) == 0)
		(void)printf("the list is empty: muster device preapprove FILE.csv fills it\n");
	return CLI_OK;
}

static const struct args_option pending_options[] = {
	{"status", "S", "approved, rejected, issued or all instead of pending"},
	{"matching", "K=V,..", "only with serial, device (wish), model, os, peer or fingerprint like V; * is any text"},
	{NULL, NULL, NULL},
};
#define DECISION_OPTIONS                                                                                               \
	{"all-matching", "K=V,..", "all that wait and match, as in muster device pending --matching; shown first"},    \
		{"yes", NULL, "decide on those that match"},                                                           \
	{                                                                                                              \
		"reason", "TEXT", "kept with the decision"                                                             \
	}

static const struct args_option approve_options[] = {
	DECISION_OPTIONS,
	{"device", "NAME", "the id it gets (its wish, or one is made)"},
	{"replace", NULL, "NAME may be a device already, whose place this one takes"},
	{"tags", "A,B", "tags it gets"},
	{"cell", "N", "the broker it goes to (the least loaded)"},
	{NULL, NULL, NULL},
};
static const struct args_option reject_options[] = {
	DECISION_OPTIONS,
	{NULL, NULL, NULL},
};
static const struct args_option preapprove_options[] = {
	{"remove", "SERIAL", "take it from the list"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_registration[] = {
	{"device", "pending", NULL, 0, 0, "devices that ask to be let in", pending_options, pending_run},
	{"device", "approve", "[ID...]", 0, ARGS_OPERANDS_MAX, "let them in", approve_options, approve_run},
	{"device", "reject", "[ID...]", 0, ARGS_OPERANDS_MAX, "refuse them", reject_options, reject_run},
	{"device", "preapprove", "[FILE.csv]", 0, 1, "serial numbers to let in without asking: serial,device,tags",
	 preapprove_options, preapprove_run},
	{"device", "preapproved", NULL, 0, 0, "these serial numbers", NULL, preapproved_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
