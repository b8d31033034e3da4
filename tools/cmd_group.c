// muster group create|list|show|add|remove|delete, muster filter save|list|delete, muster device tag|untag: how devices
// are put together, over the dashboard's API.
#include "common/query.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 160
#define HINT "muster group list, muster filter list and muster device list show what there is"

// The operands from number `from` on.
static struct json *operands(const struct cli *cli, size_t from)
{
	struct json *array = json_new_array();
	for (size_t i = from; i < cli->args.operand_count; i++)
		json_append_string(array, cli->args.operands[i]);
	return array;
}

// A tenant's name is one of a group too.
static bool check_name(const struct cli *cli, struct error *error)
{
	const char *name = cli->args.operands[0], *tenant = args_value(&cli->args, "tenant");
	if (tenant && !query_is_name(tenant))
		return error_set(error, ERROR_INVALID, "\"%s\" is no name of a tenant", tenant);
	return query_is_name(name) ||
	       error_set(error, ERROR_INVALID, "\"%s\" is no name: it must match [a-z0-9][a-z0-9._-]{0,62}", name);
}

// Behind the path, whose it is.
static const char *of_tenant(const struct cli *cli, const char *path, char out[PATH_MAX_BYTES])
{
	const char *tenant = args_value(&cli->args, "tenant");
	(void)snprintf(out, PATH_MAX_BYTES, "%.90s%s%.63s", path, tenant ? "?tenant=" : "", tenant ? tenant : "");
	return out;
}

// ---- groups ----

static void tell_group(const struct json *group)
{
	int64_t devices = -1;
	const char *query = NULL;
	(void)printf("group %s", text_member(group, "name"));
	if (json_member_string(group, "query", &query))
		(void)printf(": devices that match %s", query[0] ? query : "anything");
	if (json_member_int(group, "devices", &devices))
		(void)printf(", %lld now", (long long)devices);
	(void)printf("%s%s\n", text_member(group, "description")[0] ? "\n  " : "", text_member(group, "description"));
}

static void tell_deleted(const struct json *thing)
{
	(void)printf("deleted %s\n", text_member(thing, "name"));
}

static void tell_groups(const struct json *items)
{
	static const struct table_column columns[] = {
		{.name = "name"},  {.name = "tenant"},	    {.name = "listed", .number = true},
		{.name = "query"}, {.name = "description"},
	};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		int64_t listed = 0;
		char count[24] = "";
		if (json_member_int(item, "listed", &listed))
			(void)snprintf(count, sizeof(count), "%lld", (long long)listed);
		TABLE_ROW(table, text_member(item, "name"), text_member(item, "tenant"), count,
			  text_member(item, "query"), text_member(item, "description"));
	}
	table_print(table, false);
}

static void tell_changed(const struct json *answer)
{
	int64_t changed = 0;
	const struct json *unknown = json_member(answer, "unknown");
	(void)json_member_int(answer, "changed", &changed);
	(void)printf("%lld changed in %s\n", (long long)changed, text_member(answer, "group"));
	for (size_t i = 0; i < json_array_length(unknown); i++) {
		const char *device = "";
		(void)json_as_string(json_array_at(unknown, i), &device);
		(void)fprintf(stderr, "there is no device %s\n", device);
	}
}

static int group_create_run(struct cli *cli)
{
	struct error error = {0};
	auto_json struct json *body = json_new_object();
	if (!check_name(cli, &error))
		return cli_usage(cli, &error);
	json_set_string(body, "name", cli->args.operands[0]);
	if (args_value(&cli->args, "query"))
		json_set_string(body, "query", args_value(&cli->args, "query"));
	if (args_value(&cli->args, "description"))
		json_set_string(body, "description", args_value(&cli->args, "description"));
	char path[PATH_MAX_BYTES];
	return api_ask(cli, "POST", of_tenant(cli, "/api/v1/groups", path), body, HINT, tell_group);
}

static int group_list_run(struct cli *cli)
{
	return api_show(cli, "/api/v1/groups", "", tell_groups, "there is no group yet: muster group create NAME");
}

// What is asked of one named thing.
static int named(struct cli *cli, const char *method, const char *format, struct json *body,
		 void (*tell)(const struct json *answer))
{
	struct error error = {0};
	char path[PATH_MAX_BYTES];
	if (!check_name(cli, &error))
		return cli_usage(cli, &error);
	(void)snprintf(path, sizeof(path), "%s/%s%s", format, cli->args.operands[0], body ? "/devices" : "");
	char whole[PATH_MAX_BYTES];
	return api_ask(cli, method, of_tenant(cli, path, whole), body, HINT, tell);
}

static int group_show_run(struct cli *cli)
{
	return named(cli, "GET", "/api/v1/groups", NULL, tell_group);
}

static int group_delete_run(struct cli *cli)
{
	return named(cli, "DELETE", "/api/v1/groups", NULL, tell_deleted);
}

static int group_add_run(struct cli *cli)
{
	auto_json struct json *body = json_new_object();
	json_set(body, "add", operands(cli, 1));
	return named(cli, "POST", "/api/v1/groups", body, tell_changed);
}

static int group_remove_run(struct cli *cli)
{
	auto_json struct json *body = json_new_object();
	json_set(body, "remove", operands(cli, 1));
	return named(cli, "POST", "/api/v1/groups", body, tell_changed);
}

// ---- filters ----

static void tell_filter(const struct json *filter)
{
	(void)printf("filter %s: %s\n", text_member(filter, "name"), text_member(filter, "query"));
}

static void tell_filters(const struct json *items)
{
	static const struct table_column columns[] = {{.name = "name"}, {.name = "query"}, {.name = "created_by"}};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		TABLE_ROW(table, text_member(item, "name"), text_member(item, "query"),
			  text_member(item, "created_by"));
	}
	table_print(table, false);
}

static int filter_save_run(struct cli *cli)
{
	struct error error = {0};
	auto_json struct json *body = json_new_object();
	if (!check_name(cli, &error))
		return cli_usage(cli, &error);
	json_set_string(body, "name", cli->args.operands[0]);
	json_set_string(body, "query", cli->args.operands[1]);
	char path[PATH_MAX_BYTES];
	return api_ask(cli, "POST", of_tenant(cli, "/api/v1/filters", path), body, HINT, tell_filter);
}

static int filter_list_run(struct cli *cli)
{
	return api_show(cli, "/api/v1/filters", "", tell_filters,
			"there is no filter yet: muster filter save NAME QUERY");
}

static int filter_delete_run(struct cli *cli)
{
	return named(cli, "DELETE", "/api/v1/filters", NULL, tell_deleted);
}

// ---- tags ----

static void tell_tags(const struct json *answer)
{
	const struct json *tags = json_member(answer, "tags");
	(void)printf("%s:", text_member(answer, "device"));
	for (size_t i = 0; i < json_array_length(tags); i++) {
		const char *tag = "";
		(void)json_as_string(json_array_at(tags, i), &tag);
		(void)printf(" %s", tag);
	}
	(void)printf("%s\n", json_array_length(tags) == 0 ? " no tags" : "");
}

static int tag(struct cli *cli, const char *what)
{
	struct error error = {0};
	char path[PATH_MAX_BYTES];
	const char *device = cli->args.operands[0];
	auto_json struct json *body = json_new_object();
	if (!topic_is_device_id(device)) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no device id", device);
		return cli_usage(cli, &error);
	}
	json_set(body, what, operands(cli, 1));
	(void)snprintf(path, sizeof(path), "/api/v1/devices/%s/tags", device);
	return api_ask(cli, "POST", path, body, HINT, tell_tags);
}

static int tag_run(struct cli *cli)
{
	return tag(cli, "add");
}

static int untag_run(struct cli *cli)
{
	return tag(cli, "remove");
}

static const struct args_option create_options[] = {
	{"query", "QUERY", "its devices are those that match; without it they are added one by one"},
	{"description", "TEXT", "what it is for"},
	{"tenant", "TENANT", "whose it is; without it, of default"},
	{NULL, NULL, NULL},
};
static const struct args_option tenant_options[] = {
	{"tenant", "TENANT", "whose it is; without it, of default"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_group[] = {
	{"device", "tag", "DEVICE TAG...", 2, ARGS_OPERANDS_MAX, "give it tags", NULL, tag_run},
	{"device", "untag", "DEVICE TAG...", 2, ARGS_OPERANDS_MAX, "take tags away", NULL, untag_run},
	{"group", "create", "NAME", 1, 1, "devices under a name, listed or by a query", create_options,
	 group_create_run},
	{"group", "list", NULL, 0, 0, "all groups", NULL, group_list_run},
	{"group", "show", "NAME", 1, 1, "one of them, and how many devices it has", tenant_options, group_show_run},
	{"group", "add", "NAME DEVICE...", 2, ARGS_OPERANDS_MAX, "put devices in", tenant_options, group_add_run},
	{"group", "remove", "NAME DEVICE...", 2, ARGS_OPERANDS_MAX, "take devices out", tenant_options,
	 group_remove_run},
	{"group", "delete", "NAME", 1, 1, "forget the group; its devices stay", tenant_options, group_delete_run},
	{"filter", "save", "NAME QUERY", 2, 2, "a query under a name", tenant_options, filter_save_run},
	{"filter", "list", NULL, 0, 0, "all saved filters", NULL, filter_list_run},
	{"filter", "delete", "NAME", 1, 1, "forget it", tenant_options, filter_delete_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
