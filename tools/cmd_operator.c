// muster operator add: people who use MQTT itself, by a certificate.
#include "common/topic.h"
#include "tools/account.h"
#include "tools/cli.h"

#include <stdio.h>
#include <string.h>

static const char sql_add[] = "insert into operator (name, role, tenant) values ($1, $2, $3)"
			      " on conflict (name) do update set role = excluded.role, enabled = true,"
			      " tenant = excluded.tenant";

// Any device that answers now, so that what is printed can be pasted as it is.
static const char sql_example[] = "select d.device from device d left join device_state s using (device)"
				  " where d.enabled order by s.presence = 'online' desc nulls last, 1 limit 1";

// The options by which mosquitto_pub and mosquitto_sub reach the broker as name.
static void print_access(const struct cli *cli, const char *program, const char *name)
{
	const char *root = cli->stack.root;
	(void)printf("  %s -V 5 -h localhost -p %d \\\n"
		     "    --cafile %s/ca/service.crt \\\n"
		     "    --cert %s/operators/%s.crt \\\n"
		     "    --key %s/operators/%s.key \\\n",
		     program, cli->stack.ports[STACK_SERVICES], root, root, name + 3, root, name + 3);
}

static void print_added(const struct cli *cli, struct pg *pg, const char *name)
{
	struct error ignored;
	auto_pg_result struct pg_result *rows = NULL;
	bool known = pg_query(pg, &rows, &ignored, sql_example, 0, NULL) && pg_rows(rows) > 0;
	(void)printf("%s may send commands. To see the answers, in one terminal:\n\n", name);
	print_access(cli, "mosquitto_sub", name);
	(void)printf("    -q 1 -t ops/v1/%s/reply\n\nTo order a ping, in another:\n\n", name);
	print_access(cli, "mosquitto_pub", name);
	(void)printf("    -q 1 -t ops/v1/%s/request -m '{\"device\":\"%s\",\"action\":\"ping\"}'\n", name,
		     known ? pg_text(rows, 0, 0) : "DEVICE");
	if (!known)
		(void)printf("\nNo device is enrolled yet: put the id of one that is in the place of DEVICE.\n");
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
	    !PG_QUERY(pg, NULL, &error, sql_add, name, role ? role : "operator", args_value(&cli->args, "tenant")) ||
	    !account_audit(pg, "operator.add", name, "{}", &error))
		return cli_fail(cli, &error, pg_sqlstate_is(&error, "23503") ? "muster tenant list shows them" : NULL);
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "name", name);
		json_set_string(json, "certificate", stack_path(&cli->stack, "%s.crt", prefix).text);
		json_set_string(json, "key", stack_path(&cli->stack, "%s.key", prefix).text);
		json_set_string(json, "ca", stack_path(&cli->stack, "ca/service.crt").text);
		cli_print_json(json);
	} else {
		print_added(cli, pg, name);
	}
	return CLI_OK;
}

static const struct args_option add_options[] = {
	{"role", "R", "operator (default) or administrator"},
	{"tenant", "TENANT", "only its devices; without it, of all tenants"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_operator[] = {
	{"operator", "add", "NAME", 1, 1, "a certificate op.NAME, to send commands by MQTT", add_options, add_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
