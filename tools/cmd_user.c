// muster user add|list|set|reset-totp|remove: people who use the dashboard and the API.
#include "common/clock.h"
#include "common/file.h"
#include "common/password.h"
#include "tools/account.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINK_LIFETIME_S 86400

static const char sql_email[] = "update user_account set email = nullif($2, '') where name = $1";
static const char sql_list[] =
	"select name, role, enabled, coalesce(email, ''), coalesce(tenant, ''), password_hash is not null,"
	" totp_at is not null, (select max(t.last_used) from access_token t where t.user_name = u.name)"
	" from user_account u order by name";
static const char sql_set[] =
	"update user_account set role = coalesce($2, role), enabled = coalesce($3::boolean, enabled),"
	" email = case when $4::text is null then email else nullif($4, '') end where name = $1";
static const char sql_reset_totp[] =
	"with codes as (delete from recovery_code where user_name = $1)"
	" update user_account set totp_at = null, totp_secret = null where name = $1 and totp_secret is not null";
static const char sql_remove[] = "delete from user_account where name = $1";

// The file is read before root's rights are given up.
static bool read_password(const struct cli *cli, const char *name, char **hash, struct error *error)
{
	const char *path = args_value(&cli->args, "password-file");
	if (!path)
		return true;
	auto_free char *password = file_read_secret(path, PASSWORD_MAX_BYTES, error);
	if (!password)
		return false;
	if (password_check(password, name, error))
		*hash = password_hash(password, error);
	crypto_wipe(password, strlen(password));
	return *hash != NULL;
}

static bool is_role(const char *role)
{
	return role && (strcmp(role, "viewer") == 0 || strcmp(role, "operator") == 0 ||
			strcmp(role, "administrator") == 0 || strcmp(role, "auditor") == 0);
}

static int add_run(struct cli *cli)
{
	struct error error;
	const char *name = cli->args.operands[0];
	const char *role = args_value(&cli->args, "role");
	auto_free char *hash = NULL;
	auto_free char *link = NULL;
	if (!is_role(role)) {
		error_set(&error, ERROR_INVALID, "--role is viewer, operator, administrator or auditor");
		return cli_usage(cli, &error);
	}
	if (!read_password(cli, name, &hash, &error))
		return cli_fail(cli, &error,
				"a file that only you can read, mode 0600, with the password in its first line");
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	const char *email = args_value(&cli->args, "email");
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !account_add(pg, name, role, hash, &error)) {
		bool bad_name = pg && pg_error_is_data(&error);
		if (bad_name) {
			error_set(&error, ERROR_INVALID, "\"%s\" is no user name: [a-z0-9][a-z0-9._-]{0,62}", name);
			return cli_usage(cli, &error);
		}
		return cli_fail(cli, &error,
				error.kind == ERROR_EXISTS ? "choose another name; muster login-link USER lets a user "
							     "in who is there already"
							   : NULL);
	}
	if (email && !PG_QUERY(pg, NULL, &error, sql_email, name, email))
		return cli_fail(cli, &error, "muster user set NAME --email ADDRESS, with one that nobody else has");
	if (!hash && !(link = stack_login_link(&cli->stack, pg, name, LINK_LIFETIME_S, &error)))
		return cli_fail(cli, &error, "muster login-link USER");
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "name", name);
		json_set_string(json, "role", role);
		json_set_string(json, "login_link", link);
		cli_print_json(json);
	} else if (link) {
		(void)printf("%s\n", link);
		(void)fprintf(stderr, "logs %s in once, within a day\n", name);
	} else {
		(void)printf("added %s\n", name);
	}
	return CLI_OK;
}

static int list_run(struct cli *cli)
{
	static const struct table_column columns[] = {
		{.name = "name"},
		{.name = "role"},
		{.name = "enabled", .boolean = true},
		{.name = "email"},
		{.name = "tenant"},
		{.name = "password", .boolean = true},
		{.name = "second_factor", .boolean = true},
		{.name = "last_seen"},
	};
	struct error error = {0};
	int64_t now_ms = clock_wall_ms();
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	auto_pg_result struct pg_result *rows = NULL;
	if (!pg || !pg_query(pg, &rows, &error, sql_list, 0, NULL))
		return cli_fail(cli, &error, NULL);
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t row = 0; row < pg_rows(rows); row++)
		TABLE_ROW(table, pg_text(rows, row, 0), pg_text(rows, row, 1), pg_bool(rows, row, 2) ? "true" : "false",
			  pg_text(rows, row, 3), pg_text(rows, row, 4), pg_bool(rows, row, 5) ? "true" : "false",
			  pg_bool(rows, row, 6) ? "true" : "false",
			  cli->json ? pg_text(rows, row, 7) : text_ago(pg_text(rows, row, 7), now_ms).s);
	table_print(table, cli->json);
	return CLI_OK;
}

// One statement about one account and its row in the audit; says done, or what the account must be first.
static int change(struct cli *cli, const char *sql, size_t count, const char *const *params, const char *action,
		  const char *missing, const char *done)
{
	struct error error = {0};
	auto_pg_result struct pg_result *changed = NULL;
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !pg_begin(pg, &error) || !pg_query(pg, &changed, &error, sql, count, params))
		return cli_fail(cli, &error,
				strstr(error.what, "last_administrator") ? "make somebody else an administrator first"
									 : NULL);
	if (pg_affected(changed) == 0) {
		error_set(&error, ERROR_NOT_FOUND, "%s \"%s\"", missing, params[0]);
		return cli_fail(cli, &error, "muster user list shows them");
	}
	if (!account_audit(pg, action, params[0], "{}", &error) || !pg_commit(pg, &error))
		return cli_fail(cli, &error, NULL);
	if (cli->json)
		(void)printf("{\"name\":\"%s\"}\n", params[0]);
	else
		(void)printf("%s %s\n", params[0], done);
	return CLI_OK;
}

static int set_run(struct cli *cli)
{
	struct error error = {0};
	const char *role = args_value(&cli->args, "role"), *email = args_value(&cli->args, "email");
	bool enable = args_has(&cli->args, "enable"), disable = args_has(&cli->args, "disable");
	if ((role && !is_role(role)) || (enable && disable) || (!role && !email && !enable && !disable)) {
		error_set(&error, ERROR_INVALID,
			  "say what to change: --role, --email, and one of --enable and --disable");
		return cli_usage(cli, &error);
	}
	const char *const params[] = {cli->args.operands[0], role, enable ? "true" : disable ? "false" : NULL, email};
	return change(cli, sql_set, 4, params, "user.change", "there is no user",
		      "is changed; with other rights, sessions have ended");
}

static int reset_totp_run(struct cli *cli)
{
	const char *const params[] = {cli->args.operands[0]};
	return change(cli, sql_reset_totp, 1, params, "totp.reset", "there is no second factor of",
		      "has no second factor any more");
}

static int remove_run(struct cli *cli)
{
	const char *const params[] = {cli->args.operands[0]};
	return change(cli, sql_remove, 1, params, "user.delete", "there is no user", "is gone");
}

static const struct args_option add_options[] = {
	{"role", "R", "viewer, operator, administrator or auditor"},
	{"password-file", "FILE", "its first line; without it a login link is printed"},
	{"email", "ADDRESS", "where links for a forgotten password go"},
	{NULL, NULL, NULL},
};
static const struct args_option set_options[] = {
	{"role", "R", "viewer, operator, administrator or auditor"},
	{"email", "ADDRESS", "where links for a forgotten password go; empty: none"},
	{"enable", NULL, "let in again"},
	{"disable", NULL, "lock out; sessions and API keys end"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_user[] = {
	{"user", "add", "NAME", 1, 1, "an account for the dashboard", add_options, add_run},
	{"user", "list", NULL, 0, 0, "accounts, what they may do and when they were here", NULL, list_run},
	{"user", "set", "NAME", 1, 1, "change what an account may do", set_options, set_run},
	{"user", "reset-totp", "NAME", 1, 1, "take a lost second factor away", NULL, reset_totp_run},
	{"user", "remove", "NAME", 1, 1, "delete an account with its sessions and keys", NULL, remove_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
