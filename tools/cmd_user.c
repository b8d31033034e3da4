// muster user add: people who use the dashboard and the API.
#include "common/file.h"
#include "common/password.h"
#include "tools/account.h"
#include "tools/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINK_LIFETIME_S 86400
#define PASSWORD_MIN_BYTES 10

// The file is read before root's rights are given up.
static bool read_password(const struct cli *cli, char **hash, struct error *error)
{
	const char *path = args_value(&cli->args, "password-file");
	if (!path)
		return true;
	auto_free char *password = file_read_secret(path, PASSWORD_MAX_BYTES, error);
	if (!password)
		return false;
	bool long_enough = strlen(password) >= PASSWORD_MIN_BYTES;
	if (long_enough)
		*hash = password_hash(password, error);
	else
		error_set(error, ERROR_INVALID, "a password has at least %d characters", PASSWORD_MIN_BYTES);
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
	if (!read_password(cli, &hash, &error))
		return cli_fail(cli, &error,
				"a file that only you can read, mode 0600, with the password in its first line");
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
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

static const struct args_option add_options[] = {
	{"role", "R", "viewer, operator, administrator or auditor"},
	{"password-file", "FILE", "its first line; without it a login link is printed"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_user[] = {
	{"user", "add", "NAME", 1, 1, "an account for the dashboard", add_options, add_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
