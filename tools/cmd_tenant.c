// muster tenant list|create, muster device move, muster user rights: whose devices are whose, over the dashboard's API.
#include "common/query.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 160

// ---- tenants ----

static void tell_tenants(const struct json *items)
{
	static const struct table_column columns[] = {
		{.name = "name"}, {.name = "devices", .number = true}, {.name = "description"}};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		int64_t devices = 0;
		char count[24];
		(void)json_member_int(item, "devices", &devices);
		(void)snprintf(count, sizeof(count), "%lld", (long long)devices);
		TABLE_ROW(table, text_member(item, "name"), count, text_member(item, "description"));
	}
	table_print(table, false);
}

static int list_run(struct cli *cli)
{
	return api_show(cli, "/api/v1/tenants", "", tell_tenants, "there is no tenant");
}

static void tell_created(const struct json *tenant)
{
	(void)printf("made the tenant %s\n", text_member(tenant, "name"));
}

static int create_run(struct cli *cli)
{
	auto_json struct json *body = json_new_object();
	json_set_string(body, "name", cli->args.operands[0]);
	if (args_value(&cli->args, "description"))
		json_set_string(body, "description", args_value(&cli->args, "description"));
	return api_ask(cli, "POST", "/api/v1/tenants", body, "muster tenant list shows those that there are",
		       tell_created);
}

// ---- devices ----

static void tell_moved(const struct json *answer)
{
	(void)printf("%s is a device of %s now, with all that it ever reported; it is in no group\n",
		     text_member(answer, "device"), text_member(answer, "tenant"));
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
	return api_ask(cli, "POST", path, body, "muster device list and muster tenant list show what there is",
		       tell_moved);
}

// ---- rights ----

static void tell_rights(const struct json *answer)
{
	const struct json *rights = json_member(answer, "rights");
	if (json_array_length(rights) == 0)
		(void)printf("%s is %s of %s%s\n", text_member(answer, "user"), text_member(answer, "role"),
			     text_member(answer, "tenant")[0] ? "the whole tenant " : "all tenants",
			     text_member(answer, "tenant"));
	for (size_t i = 0; i < json_array_length(rights); i++) {
		const struct json *right = json_array_at(rights, i);
		(void)printf("%s is %s of the group %s\n", text_member(answer, "user"), text_member(right, "role"),
			     text_member(right, "group"));
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
	return api_ask(cli, change ? "PUT" : "GET", path, change ? body : NULL,
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
