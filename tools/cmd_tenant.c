// muster tenant list|create, muster device move, muster user rights: whose devices are whose, over the dashboard's API.
#include "common/query.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 160

static const char *member(const struct json *item, const char *name)
{
	const char *value = "";
	(void)json_member_string(item, name, &value);
	return value;
}

// One request; prints the answer, or what tell makes of it.
static int ask(struct cli *cli, const char *method, const char *path, struct json *body, const char *hint,
	       void (*tell)(const struct json *answer))
{
	struct error error = {0};
	int exit_code = CLI_OK;
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *answer = api_request(api, method, path, body ? json_text(body) : NULL, &error);
	if (!answer && (error.kind == ERROR_NOT_FOUND || error.kind == ERROR_EXISTS || error.kind == ERROR_INVALID))
		return cli_fail(cli, &error, hint);
	if (!answer)
		return api_fail(cli, &error);
	if (cli->json)
		cli_print_json(answer);
	else
		tell(answer);
	return CLI_OK;
}

// ---- tenants ----

static int list_run(struct cli *cli)
{
	static const struct table_column columns[] = {
		{.name = "name"}, {.name = "devices", .number = true}, {.name = "description"}};
	struct error error = {0};
	int exit_code = CLI_OK;
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *items = json_new_array();
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	if (!api_list(api, "/api/v1/tenants", "", items, &error))
		return api_fail(cli, &error);
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		int64_t devices = 0;
		char count[24];
		(void)json_member_int(item, "devices", &devices);
		(void)snprintf(count, sizeof(count), "%lld", (long long)devices);
		TABLE_ROW(table, member(item, "name"), count, member(item, "description"));
	}
	table_print(table, cli->json);
	return CLI_OK;
}

static void tell_created(const struct json *tenant)
{
	(void)printf("made the tenant %s\n", member(tenant, "name"));
}

static int create_run(struct cli *cli)
{
	auto_json struct json *body = json_new_object();
	json_set_string(body, "name", cli->args.operands[0]);
	if (args_value(&cli->args, "description"))
		json_set_string(body, "description", args_value(&cli->args, "description"));
	return ask(cli, "POST", "/api/v1/tenants", body, "muster tenant list shows those that there are", tell_created);
}

// ---- devices ----

static void tell_moved(const struct json *answer)
{
	(void)printf("%s is a device of %s now, with all that it ever reported; it is in no group\n",
		     member(answer, "device"), member(answer, "tenant"));
}

static int move_run(struct cli *cli)
{
	struct error error = {0};
	char path[PATH_MAX_BYTES];
	const char *device = cli->args.operands[0], *tenant = args_value(&cli->args, "tenant");
	if (!topic_is_device_id(device) || !tenant) {
		error_set(&error, ERROR_INVALID, tenant ? "\"%s\" is no device id" : "%s: say to whom, with --tenant",
			  device);
		return cli_usage(cli, &error);
	}
	auto_json struct json *body = json_new_object();
	json_set_string(body, "tenant", tenant);
	(void)snprintf(path, sizeof(path), "/api/v1/devices/%s/move", device);
	return ask(cli, "POST", path, body, "muster device list and muster tenant list show what there is", tell_moved);
}

// ---- rights ----

static void tell_rights(const struct json *answer)
{
	const struct json *rights = json_member(answer, "rights");
	if (json_array_length(rights) == 0)
		(void)printf("%s is %s of %s%s\n", member(answer, "user"), member(answer, "role"),
			     member(answer, "tenant")[0] ? "the whole tenant " : "all tenants",
			     member(answer, "tenant"));
	for (size_t i = 0; i < json_array_length(rights); i++) {
		const struct json *right = json_array_at(rights, i);
		(void)printf("%s is %s of the group %s\n", member(answer, "user"), member(right, "role"),
			     member(right, "group"));
	}
}

// GROUP=ROLE
static bool add_right(struct json *rights, const char *text, struct error *error)
{
	const char *equals = strchr(text, '=');
	char group[64];
	(void)snprintf(group, sizeof(group), "%.*s", equals ? (int)(equals - text) : 0, text);
	if (!equals || !query_is_name(group))
		return error_set(error, ERROR_INVALID,
				 "\"%s\" is no right: write GROUP=viewer, operator or administrator", text);
	auto_json struct json *right = json_new_object();
	json_set_string(right, "group", group);
	json_set_string(right, "role", equals + 1);
	json_append(rights, steal(right));
	return true;
}

static int rights_run(struct cli *cli)
{
	struct error error = {0};
	char path[PATH_MAX_BYTES];
	bool none = args_has(&cli->args, "none"), change = none || cli->args.operand_count > 1;
	auto_json struct json *body = json_new_object();
	struct json *rights = json_new_array();
	json_set(body, "rights", rights);
	if (!query_is_name(cli->args.operands[0]) || (none && cli->args.operand_count > 1)) {
		error_set(&error, ERROR_INVALID,
			  none ? "give either rights or --none"
			       : "the user's name must match [a-z0-9][a-z0-9._-]{0,62}");
		return cli_usage(cli, &error);
	}
	for (size_t i = 1; i < cli->args.operand_count; i++) {
		if (!add_right(rights, cli->args.operands[i], &error))
			return cli_usage(cli, &error);
	}
	(void)snprintf(path, sizeof(path), "/api/v1/users/%s/rights", cli->args.operands[0]);
	return ask(cli, change ? "PUT" : "GET", path, change ? body : NULL,
		   "muster user list and muster group list show what there is", tell_rights);
}

static const struct args_option create_options[] = {
	{"description", "TEXT", "whose it is"},
	{NULL, NULL, NULL},
};
static const struct args_option move_options[] = {
	{"tenant", "TENANT", "whose it is from now on"},
	{NULL, NULL, NULL},
};
static const struct args_option rights_options[] = {
	{"none", NULL, "take all of them away: the account's role holds for the whole tenant again"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_tenant[] = {
	{"tenant", "list", NULL, 0, 0, "who has devices here, apart from each other", NULL, list_run},
	{"tenant", "create", "NAME", 1, 1, "one more", create_options, create_run},
	{"device", "move", "DEVICE", 1, 1, "give it to another tenant", move_options, move_run},
	{"user", "rights", "NAME [GROUP=ROLE...]", 1, ARGS_OPERANDS_MAX,
	 "in which groups somebody has a role, instead of in the whole tenant", rights_options, rights_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
