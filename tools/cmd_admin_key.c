// muster admin-key create|list|revoke: keys of programs that sign their requests (POST /admin/command), over the
// dashboard's API.
#include "common/clock.h"
#include "common/crypto.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>

static int create_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	const char *label = args_value(&cli->args, "label");
	auto_json struct json *body = json_new_object();
	json_set_string(body, "label", label ? label : "");
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *key = api_request(api, "POST", "/api/v1/admin-keys", json_text(body), &error);
	if (!key)
		return api_fail(cli, &error);
	if (cli->json) {
		cli_print_json(key);
		return CLI_OK;
	}
	(void)printf("%s\n", text_member(key, "secret"));
	(void)fflush(stdout);
	(void)fprintf(stderr, "key %s; this is its secret, shown this once\n", text_member(key, "id"));
	return CLI_OK;
}

static int list_run(struct cli *cli)
{
	static const struct table_column columns[] = {
		{.name = "id"}, {.name = "label"}, {.name = "made"}, {.name = "used"}, {.name = "state"}};
	struct error error = {0};
	int exit_code = CLI_OK;
	int64_t now_ms = clock_wall_ms();
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *answer = api_request(api, "GET", "/api/v1/admin-keys", NULL, &error);
	if (!answer)
		return api_fail(cli, &error);
	if (cli->json) {
		cli_print_json(answer);
		return CLI_OK;
	}
	const struct json *items = json_member(answer, "items");
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		auto_buf struct buf label = {0};
		buf_init(&label, 1024);
		text_add_safe(&label, text_member(item, "label"));
		TABLE_ROW(table, text_member(item, "id"), buf_str(&label),
			  text_ago(text_member(item, "created_at"), now_ms).s,
			  text_ago(text_member(item, "last_used"), now_ms).s,
			  text_member(item, "revoked_at")[0] ? "revoked" : "valid");
	}
	table_print(table, false);
	if (json_array_length(items) == 0)
		(void)printf("no key was made yet: muster admin-key create\n");
	return CLI_OK;
}

static int revoke_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	char path[96];
	const char *id = cli->args.operands[0];
	if (strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16) {
		error_set(&error, ERROR_INVALID, "\"%s\" is no id of a key: 16 hex digits", id);
		return cli_usage(cli, &error);
	}
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	(void)snprintf(path, sizeof(path), "/api/v1/admin-keys/%s", id);
	auto_json struct json *key = api_request(api, "DELETE", path, NULL, &error);
	if (!key && error.code == 404) {
		error_set(&error, ERROR_NOT_FOUND, "there is no key %s that holds", id);
		return cli_fail(cli, &error, "muster admin-key list shows them");
	}
	if (!key)
		return api_fail(cli, &error);
	if (cli->json)
		cli_print_json(key);
	else
		(void)printf("revoked\n");
	return CLI_OK;
}

static const struct args_option create_options[] = {
	{"label", "TEXT", "what it is for"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_admin_key[] = {
	{"admin-key", "create", NULL, 0, 0, "a key for a program that signs its requests", create_options, create_run},
	{"admin-key", "list", NULL, 0, 0, "keys, without their secrets", NULL, list_run},
	{"admin-key", "revoke", "ID", 1, 1, "make one worthless", NULL, revoke_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
