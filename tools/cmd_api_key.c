// muster api-key create|list|revoke: keys of programs that use the HTTP API (Authorization: Bearer).
#include "common/clock.h"
#include "tools/account.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>

#define DAYS_MAX 366
#define DAY_S 86400
#define ID_BYTES 17
#define TENANT_BYTES 64 // as the database allows

// What the dashboard asks of a key that is made on the page holds here too.
static const char sql_narrow[] =
	"update access_token set role = $2, scopes = string_to_array($3, ','), created_by = $4, device_group = $5,"
	" group_tenant = $6 where token_hash = decode($1, 'hex') returning id";
static const char sql_user[] = "select from user_account where name = $1";
// Of the user's own tenant; of any for people of all.
static const char sql_group[] =
	"select g.tenant from device_group g join user_account u on u.name = $2 where g.name = $1 and"
	" (u.tenant is null or g.tenant = u.tenant) limit 2";
static const char sql_list[] =
	"select id, user_name, label, coalesce(role, ''), coalesce(array_to_string(scopes, ','), ''),"
	" coalesce(device_group, ''), expires_at, last_used,"
	" case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'valid' end"
	" from access_token where kind = 'api' order by created_at desc limit 1000";
static const char sql_revoke[] =
	"update access_token set revoked_at = now() where id = $1 and kind = 'api' and revoked_at"
	" is null returning user_name";

// The group's tenant into out; without a group it stays empty.
static bool find_group(struct pg *pg, const char *group, const char *user, char out[TENANT_BYTES], struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	if (!group)
		return true;
	if (!PG_QUERY(pg, &rows, error, sql_group, group, user))
		return false;
	if (pg_rows(rows) != 1)
		return error_set(error, ERROR_NOT_FOUND,
				 pg_rows(rows) ? "several tenants have a group \"%s\", and \"%s\" belongs to none"
					       : "there is no group \"%s\" that \"%s\" sees",
				 group, user);
	(void)snprintf(out, TENANT_BYTES, "%s", pg_text(rows, 0, 0));
	return true;
}

static bool is_user(struct pg *pg, const char *name, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	if (!PG_QUERY(pg, &row, error, sql_user, name))
		return false;
	return pg_rows(row) > 0 || error_set(error, ERROR_NOT_FOUND, "there is no user \"%s\"", name);
}

static bool make(struct pg *pg, const struct cli *cli, long days, char token[TOKEN_TEXT_BYTES], char id[ID_BYTES],
		 struct error *error)
{
	char hash[SHA256_HEX_BYTES], actor[ACCOUNT_ACTOR_BYTES], tenant[TENANT_BYTES] = "";
	const char *user = cli->args.operands[0];
	const char *group = args_value(&cli->args, "group");
	auto_pg_result struct pg_result *row = NULL;
	if (!pg_begin(pg, error) || !find_group(pg, group, user, tenant, error) ||
	    !account_token_create(pg, user, "api", args_value(&cli->args, "label"), days * DAY_S, token, error))
		return false;
	crypto_sha256_hex(token, strlen(token), hash);
	if (!PG_QUERY(pg, &row, error, sql_narrow, hash, args_value(&cli->args, "role"),
		      args_value(&cli->args, "scopes"), account_actor(actor), group, group ? tenant : NULL))
		return false;
	(void)snprintf(id, ID_BYTES, "%s", pg_text(row, 0, 0));
	return account_audit(pg, "api-key.create", id, "{}", error) && pg_commit(pg, error);
}

static int create_run(struct cli *cli)
{
	struct error error = {0};
	char token[TOKEN_TEXT_BYTES], id[ID_BYTES];
	const char *label = args_value(&cli->args, "label");
	long days = 0;
	if (!label || !*label) {
		error_set(&error, ERROR_INVALID, "--label is needed: what the key is for");
		return cli_usage(cli, &error);
	}
	if (!args_int(&cli->args, "days", 1, DAYS_MAX, 90, &days, &error))
		return cli_usage(cli, &error);
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (pg && !is_user(pg, cli->args.operands[0], &error))
		return cli_fail(cli, &error, "muster user list shows them");
	if (!pg || !make(pg, cli, days, token, id, &error))
		return cli_fail(cli, &error,
				error.kind == ERROR_NOT_FOUND ? "muster group list shows the groups there are"
				: pg && pg_error_is_data(&error)
					? "name an account (muster user list), a role, and scopes of read, commands, "
					  "devices, enrolment, alerts, people"
					: NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "id", id);
		json_set_string(json, "key", token);
		cli_print_json(json);
	} else {
		(void)printf("%s\n", token);
		(void)fprintf(stderr, "key %s, for %ld days; shown this once. It goes into Authorization: Bearer\n", id,
			      days);
	}
	crypto_wipe(token, sizeof(token));
	return CLI_OK;
}

static int list_run(struct cli *cli)
{
	static const struct table_column columns[] = {{.name = "id"},	   {.name = "user"},	{.name = "label"},
						      {.name = "role"},	   {.name = "scopes"},	{.name = "group"},
						      {.name = "expires"}, {.name = "last_used"}, {.name = "state"}};
	struct error error = {0};
	int64_t now_ms = clock_wall_ms();
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	auto_pg_result struct pg_result *rows = NULL;
	if (!pg || !pg_query(pg, &rows, &error, sql_list, 0, NULL))
		return cli_fail(cli, &error, NULL);
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t row = 0; row < pg_rows(rows); row++) {
		auto_buf struct buf label = {0};
		buf_init(&label, 1024);
		text_add_safe(&label, pg_text(rows, row, 2));
		TABLE_ROW(table, pg_text(rows, row, 0), pg_text(rows, row, 1), buf_str(&label), pg_text(rows, row, 3),
			  pg_text(rows, row, 4), pg_text(rows, row, 5),
			  cli->json ? pg_text(rows, row, 6) : text_ago(pg_text(rows, row, 6), now_ms).s,
			  cli->json ? pg_text(rows, row, 7) : text_ago(pg_text(rows, row, 7), now_ms).s,
			  pg_text(rows, row, 8));
	}
	table_print(table, cli->json);
	return CLI_OK;
}

static int revoke_run(struct cli *cli)
{
	struct error error = {0};
	const char *id = cli->args.operands[0];
	auto_pg_result struct pg_result *gone = NULL;
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !pg_begin(pg, &error) || !PG_QUERY(pg, &gone, &error, sql_revoke, id))
		return cli_fail(cli, &error, NULL);
	if (pg_rows(gone) == 0) {
		error_set(&error, ERROR_NOT_FOUND, "there is no key \"%s\" that holds", id);
		return cli_fail(cli, &error, "muster api-key list shows them");
	}
	if (!account_audit(pg, "api-key.revoke", id, "{}", &error) || !pg_commit(pg, &error))
		return cli_fail(cli, &error, NULL);
	(void)printf(cli->json ? "{\"revoked\":true}\n" : "revoked\n");
	return CLI_OK;
}

static const struct args_option create_options[] = {
	{"label", "TEXT", "what it is for"},
	{"days", "N", "how long it holds: 90, at most 366"},
	{"role", "R", "less than the account's own"},
	{"scopes", "LIST", "of read, commands, devices, enrolment, alerts, people; without it all"},
	{"group", "NAME", "only for the devices of this group"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_api_key[] = {
	{"api-key", "create", "USER", 1, 1, "a key for a program, with no more rights than its user", create_options,
	 create_run},
	{"api-key", "list", NULL, 0, 0, "keys, without their secrets", NULL, list_run},
	{"api-key", "revoke", "ID", 1, 1, "make one worthless", NULL, revoke_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
