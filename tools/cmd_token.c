// muster token create|list|show|revoke: what lets a device enrol.
#include "common/clock.h"
#include "common/topic.h"
#include "tools/account.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>

#define USES_MAX 100000
#define LIFETIME_S 3600
#define CELL_MAX 2147483647 // integer of PostgreSQL

#define TOKEN_SQL \
	"select id, coalesce(device, ''), array_to_string(tags, ','), uses_left, created_by," \
	" to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')," \
	" to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')," \
	" case when revoked_at is not null then 'revoked' when uses_left = 0 then 'used'" \
	"  when expires_at <= now() then 'expired' else 'valid' end from enrollment_token"
static const char sql_list[] = TOKEN_SQL " order by created_at desc";
static const char sql_one[] = TOKEN_SQL " where id = $1";
static const char sql_events[] =
	"select type, to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), coalesce(device, ''),"
	" coalesce(peer, ''), reason from enrollment_event where token_id = $1 order by id";

static int create_run(struct cli *cli)
{
	struct error error;
	struct enrollment enrollment = {.device = args_value(&cli->args, "device"),
					.tags = args_value(&cli->args, "tags"),
					.tenant = args_value(&cli->args, "tenant")};
	char token[TOKEN_TEXT_BYTES];
	char id[ENROLLMENT_ID_BYTES];
	if (!args_int(&cli->args, "uses", 1, USES_MAX, 1, &enrollment.uses, &error) ||
	    !args_int(&cli->args, "cell", 1, CELL_MAX, 0, &enrollment.cell, &error) ||
	    !args_duration(&cli->args, "expires", LIFETIME_S, &enrollment.lifetime_s, &error))
		return cli_usage(cli, &error);
	if (enrollment.device && !topic_is_device_id(enrollment.device)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no device id: it must match [a-z0-9][a-z0-9-]{0,62}",
			  enrollment.device);
		return cli_usage(cli, &error);
	}
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !enrollment_create(pg, &enrollment, token, id, &error))
		return cli_fail(cli, &error, pg_sqlstate_is(&error, "23503") ? "muster tenant list shows them" : NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "token", token);
		json_set_string(json, "id", id);
		json_set_string(json, "device", enrollment.device);
		json_set_int(json, "uses", enrollment.uses);
		json_set_int(json, "expires_s", enrollment.lifetime_s);
		cli_print_json(json);
	} else {
		(void)printf("%s\n", token);
		(void)fprintf(
			stderr,
			"token %s, %ld use%s; shown this once. On the device: muster-agent enroll --token-file FILE\n",
			id, enrollment.uses, enrollment.uses == 1 ? "" : "s");
	}
	return CLI_OK;
}

// Columns of TOKEN_SQL.
enum { ID, DEVICE, TAGS, USES_LEFT, CREATED_BY, CREATED_AT, EXPIRES_AT, STATE };

static void print_json(const struct pg_result *rows)
{
	static const struct table_column columns[] = {{.name = "id"},	      {.name = "device"},
						      {.name = "tags"},	      {.name = "uses_left", .number = true},
						      {.name = "created_by"}, {.name = "created_at"},
						      {.name = "expires_at"}, {.name = "state"}};
	const size_t count = sizeof(columns) / sizeof(columns[0]);
	auto_table struct table *table = table_new("items", columns, count);
	for (size_t row = 0; row < pg_rows(rows); row++) {
		const char *cells[sizeof(columns) / sizeof(columns[0])];
		for (size_t i = 0; i < count; i++)
			cells[i] = pg_text(rows, row, i);
		table_row(table, cells);
	}
	table_print(table, true);
}

static void print_list(const struct pg_result *rows)
{
	static const struct table_column columns[] = {{.name = "id"},	     {.name = "state"},
						      {.name = "expires"},   {.name = "uses_left", .number = true},
						      {.name = "device"},    {.name = "tags"},
						      {.name = "created_by"}};
	int64_t now_ms = clock_wall_ms();
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t row = 0; row < pg_rows(rows); row++) {
		TABLE_ROW(table, pg_text(rows, row, ID), pg_text(rows, row, STATE),
			  text_ago(pg_text(rows, row, EXPIRES_AT), now_ms).s, pg_text(rows, row, USES_LEFT),
			  pg_text(rows, row, DEVICE), pg_text(rows, row, TAGS), pg_text(rows, row, CREATED_BY));
	}
	table_print(table, false);
	if (pg_rows(rows) == 0)
		(void)printf("no token was made yet: muster token create\n");
}

static int list_run(struct cli *cli)
{
	struct error error;
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	auto_pg_result struct pg_result *rows = NULL;
	if (!pg || !pg_query(pg, &rows, &error, sql_list, 0, NULL))
		return cli_fail(cli, &error, NULL);
	if (cli->json)
		print_json(rows);
	else
		print_list(rows);
	return CLI_OK;
}

static void print_history(const struct pg_result *token, const struct pg_result *events, bool json)
{
	static const struct table_column columns[] = {
		{.name = "type"}, {.name = "at"}, {.name = "device"}, {.name = "peer"}, {.name = "reason"}};
	int64_t now_ms = clock_wall_ms();
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t row = 0; row < pg_rows(events); row++)
		TABLE_ROW(table, pg_text(events, row, 0), pg_text(events, row, 1), pg_text(events, row, 2),
			  pg_text(events, row, 3), pg_text(events, row, 4));
	if (!json)
		(void)printf("token %s is %s: %s uses left, made by %s, expiry %s%s%s\n\n", pg_text(token, 0, ID),
			     pg_text(token, 0, STATE), pg_text(token, 0, USES_LEFT), pg_text(token, 0, CREATED_BY),
			     text_ago(pg_text(token, 0, EXPIRES_AT), now_ms).s,
			     *pg_text(token, 0, DEVICE) ? ", for " : "", pg_text(token, 0, DEVICE));
	table_print(table, json);
}

static int show_run(struct cli *cli)
{
	struct error error;
	const char *id = cli->args.operands[0];
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	auto_pg_result struct pg_result *token = NULL;
	auto_pg_result struct pg_result *events = NULL;
	if (!pg || !PG_QUERY(pg, &token, &error, sql_one, id) || !PG_QUERY(pg, &events, &error, sql_events, id))
		return cli_fail(cli, &error, NULL);
	if (pg_rows(token) == 0) {
		error_set(&error, ERROR_NOT_FOUND, "there is no enrolment token \"%s\"", id);
		return cli_fail(cli, &error, "muster token list shows them");
	}
	print_history(token, events, cli->json);
	return CLI_OK;
}

static int revoke_run(struct cli *cli)
{
	struct error error;
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !enrollment_revoke(pg, cli->args.operands[0], &error))
		return cli_fail(cli, &error, error.kind == ERROR_NOT_FOUND ? "muster token list shows them" : NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "id", cli->args.operands[0]);
		json_set_bool(json, "revoked", true);
		cli_print_json(json);
	} else {
		(void)printf("revoked\n");
	}
	return CLI_OK;
}

static const struct args_option create_options[] = {
	{"device", "ID", "only for the device of this id"},
	{"tags", "A,B", "tags of the devices that enrol with it"},
	{"uses", "N", "how many devices may (1)"},
	{"cell", "N", "the broker they go to (the least loaded)"},
	{"tenant", "TENANT", "whose they are (default)"},
	{"expires", "TIME", "90s, 15m, 12h, 7d (1h)"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_token[] = {
	{"token", "create", NULL, 0, 0, "an enrolment token", create_options, create_run},
	{"token", "list", NULL, 0, 0, "enrolment tokens, without their secrets", NULL, list_run},
	{"token", "show", "ID", 1, 1, "what became of one", NULL, show_run},
	{"token", "revoke", "ID", 1, 1, "make one worthless", NULL, revoke_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
