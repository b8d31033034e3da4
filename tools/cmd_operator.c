// muster operator add: people who use MQTT itself, by a certificate.
#include "common/topic.h"
#include "tools/account.h"
#include "tools/cli.h"

#include <stdio.h>
#include <string.h>

static const char sql_add[] = "insert into operator (name, role) values ($1, $2)"
			      " on conflict (name) do update set role = excluded.role, enabled = true";

static void print_added(const struct cli *cli, const char *name)
{
	const char *root = cli->stack.root;
	(void)printf("%s may send commands. Certificate and key: %s/operators/%s.{crt,key}\n\n", name, root, name + 3);
	(void)printf(
		"  mosquitto_pub -V 5 -h localhost -p %d --cafile %s/ca/service.crt --cert %s/operators/%s.crt \\\n"
		"    --key %s/operators/%s.key -q 1 -t ops/v1/%s/request -m "
		"'{\"device\":\"DEVICE\",\"action\":\"ping\"}'\n"
		"\nThe answers are on ops/v1/%s/reply (mosquitto_sub with the same files).\n",
		cli->stack.ports[STACK_SERVICES], root, root, name + 3, root, name + 3, name, name);
}

static int add_run(struct cli *cli)
{
	struct error error;
	char name[128];
	char prefix[160];
	const char *given = cli->args.operands[0];
	const char *role = args_value(&cli->args, "role");
	(void)snprintf(name, sizeof(name), "%s%.100s", strncmp(given, "op.", 3) == 0 ? "" : "op.", given);
	if (!topic_is_operator(name)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no operator's name: [a-z0-9][a-z0-9-]{0,62}", given);
		return cli_usage(cli, &error);
	}
	if (role && strcmp(role, "operator") != 0 && strcmp(role, "administrator") != 0) {
		error_set(&error, ERROR_INVALID, "--role is operator or administrator");
		return cli_usage(cli, &error);
	}
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	(void)snprintf(prefix, sizeof(prefix), "operators/%s", name + 3);
	if (!pg || !stack_identity_client(&cli->stack, name, prefix, &error) ||
	    !PG_QUERY(pg, NULL, &error, sql_add, name, role ? role : "operator") ||
	    !account_audit(pg, "operator.add", name, "{}", &error))
		return cli_fail(cli, &error, NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "name", name);
		json_set_string(json, "certificate", stack_path(&cli->stack, "%s.crt", prefix).text);
		json_set_string(json, "key", stack_path(&cli->stack, "%s.key", prefix).text);
		json_set_string(json, "ca", stack_path(&cli->stack, "ca/service.crt").text);
		cli_print_json(json);
	} else {
		print_added(cli, name);
	}
	return CLI_OK;
}

static const struct args_option add_options[] = {
	{"role", "R", "operator (default) or administrator"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_operator[] = {
	{"operator", "add", "NAME", 1, 1, "a certificate op.NAME, to send commands by MQTT", add_options, add_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
