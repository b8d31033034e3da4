// muster export create|list|get|cancel: files that the dashboard makes in the background, over its API.
#include "common/clock.h"
#include "common/topic.h"
#include "tools/api.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES 96
#define LOOK_EVERY_MS 200
#define WAIT_DEFAULT_S 3600

static int64_t number(const struct json *item, const char *name)
{
	int64_t value = 0;
	(void)json_member_int(item, name, &value);
	return value;
}

static void tell(struct cli *cli, struct json *export)
{
	if (cli->json) {
		cli_print_json(export);
		return;
	}
	(void)printf("export %s: %s as %s, %s, %lld rows, %lld bytes\n", text_member(export, "id"),
		     text_member(export, "kind"), text_member(export, "format"), text_member(export, "state"),
		     (long long)number(export, "rows"), (long long)number(export, "bytes"));
	if (text_member(export, "reason")[0])
		(void)printf("  %s\n", text_member(export, "reason"));
}

static bool export_path(const struct cli *cli, const char *tail, char out[PATH_MAX_BYTES], struct error *error)
{
	const char *id = cli->args.operands[0];
	if (strlen(id) != 36 || strspn(id, "0123456789abcdef-") != 36)
		return error_set(error, ERROR_INVALID,
				 "\"%.64s\" is no id of an export; muster export list shows yours", id);
	(void)snprintf(out, PATH_MAX_BYTES, "/api/v1/exports/%s%s", id, tail);
	return true;
}

static int fail(const struct cli *cli, const struct error *error)
{
	if (error->code == 404 || error->code == 409 || error->code == 410)
		return cli_fail(cli, error, "muster export list shows yours, and how far they are");
	return api_fail(cli, error);
}

static bool is_open(const struct json *export)
{
	return strcmp(text_member(export, "state"), "queued") == 0 ||
	       strcmp(text_member(export, "state"), "running") == 0;
}

// Looks until it has ended; takes export and returns the last state of it, NULL with error.
static struct json *await(struct api *api, struct json *export, long wait_s, struct error *error)
{
	char path[PATH_MAX_BYTES];
	int64_t until_ms = clock_mono_ms() + (int64_t)wait_s * 1000;
	auto_json struct json *last = export;
	(void)snprintf(path, sizeof(path), "/api/v1/exports/%.36s", text_member(export, "id"));
	while (is_open(last) && clock_mono_ms() < until_ms) {
		(void)poll(NULL, 0, LOOK_EVERY_MS);
		struct json *next = api_request(api, "GET", path, NULL, error);
		if (!next)
			return NULL;
		json_free(last);
		last = next;
	}
	return steal(last);
}

// As whoever called, who may be another than the stack's owner; -1 without --out.
static bool open_out(const struct cli *cli, int *fd, struct error *error)
{
	const char *to = args_value(&cli->args, "out");
	if (!to)
		return true;
	*fd = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return *fd >= 0 || error_errno(error, errno, "cannot write %s", to);
}

// What is there of the file already is kept: a download that was cut goes on.
static bool download(struct api *api, const char *id, int fd, struct error *error)
{
	char path[PATH_MAX_BYTES];
	struct stat status;
	if (fstat(fd, &status) != 0)
		return error_errno(error, errno, "cannot read the file");
	(void)snprintf(path, sizeof(path), "/api/v1/exports/%.36s/file", id);
	return api_download(api, path, fd, status.st_size, error);
}

// ---- create ----

static void set_option(struct cli *cli, struct json *body, const char *name)
{
	const char *value = args_value(&cli->args, name);
	if (value)
		json_set_string(body, name, value);
}

static struct json *columns_of(const char *list)
{
	auto_buf struct buf text;
	buf_init(&text, strlen(list) * 8 + 16);
	(void)buf_add_str(&text, "[\"");
	for (; *list; list++) {
		if (*list == ',')
			(void)buf_add_str(&text, "\",\"");
		else if (*list != '"' && *list != '\\')
			(void)buf_add(&text, list, 1);
	}
	(void)buf_add_str(&text, "\"]");
	return json_parse(buf_str(&text), text.len_bytes, NULL);
}

// --from and --to: RFC 3339, or how long ago.
static bool set_time(struct cli *cli, struct json *body, const char *name, struct error *error)
{
	const char *value = args_value(&cli->args, name);
	int64_t ms = 0;
	long ago_s = 0;
	if (!value)
		return true;
	if (!clock_parse_rfc3339(value, strlen(value), &ms)) {
		if (!args_duration(&cli->args, name, 0, &ago_s, error))
			return error_set(error, ERROR_INVALID,
					 "--%s must be an RFC 3339 time, or how long ago: 90s, 15m, 12h, 7d", name);
		ms = clock_wall_ms() - (int64_t)ago_s * 1000;
	}
	json_set_int(body, name, ms);
	return true;
}

static struct json *request_of(struct cli *cli, struct error *error)
{
	static const char *const texts[] = {"format", "query", "device"};
	auto_json struct json *body = json_new_object();
	json_set_string(body, "kind", cli->args.operands[0]);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		set_option(cli, body, texts[i]);
	if (args_value(&cli->args, "columns")) {
		struct json *columns = columns_of(args_value(&cli->args, "columns"));
		if (columns)
			json_set(body, "columns", columns);
	}
	if (!set_time(cli, body, "from", error) || !set_time(cli, body, "to", error))
		return NULL;
	return steal(body);
}

static int create_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	long wait_s = WAIT_DEFAULT_S;
	auto_close int out = -1;
	auto_json struct json *body = request_of(cli, &error);
	if (!body || !args_duration(&cli->args, "timeout", WAIT_DEFAULT_S, &wait_s, &error))
		return cli_usage(cli, &error);
	if (!open_out(cli, &out, &error))
		return cli_fail(cli, &error, NULL);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *export = api_request(api, "POST", "/api/v1/exports", json_text(body), &error);
	if (!export)
		return fail(cli, &error);
	if (out >= 0 || args_has(&cli->args, "wait")) {
		struct json *last = await(api, steal(export), wait_s, &error);
		if (!last)
			return fail(cli, &error);
		export = last;
	}
	tell(cli, export);
	if (out < 0 && !args_has(&cli->args, "wait"))
		return CLI_OK;
	if (is_open(export))
		return CLI_TIMED_OUT;
	if (strcmp(text_member(export, "state"), "done") != 0)
		return CLI_FAILED;
	return out < 0 || download(api, text_member(export, "id"), out, &error) ? CLI_OK : fail(cli, &error);
}

// ---- the others ----

static void tell_exports(const struct json *items)
{
	static const struct table_column columns[] = {{.name = "id"},
						      {.name = "kind"},
						      {.name = "format"},
						      {.name = "state"},
						      {.name = "rows", .number = true},
						      {.name = "bytes", .number = true},
						      {.name = "created"}};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		char rows[24], bytes[24];
		(void)snprintf(rows, sizeof(rows), "%lld", (long long)number(item, "rows"));
		(void)snprintf(bytes, sizeof(bytes), "%lld", (long long)number(item, "bytes"));
		TABLE_ROW(table, text_member(item, "id"), text_member(item, "kind"), text_member(item, "format"),
			  text_member(item, "state"), rows, bytes,
			  text_ago(text_member(item, "created_at"), clock_wall_ms()).s);
	}
	table_print(table, false);
}

static int list_run(struct cli *cli)
{
	return api_show(cli, "/api/v1/exports", "", tell_exports,
			"there is no export yet: muster export create devices --out devices.csv");
}

static int get_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	char path[PATH_MAX_BYTES];
	auto_close int out = -1;
	if (!export_path(cli, "", path, &error))
		return cli_usage(cli, &error);
	if (!open_out(cli, &out, &error))
		return cli_fail(cli, &error, NULL);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	auto_json struct json *export = api_request(api, "GET", path, NULL, &error);
	if (!export || (out >= 0 && !download(api, cli->args.operands[0], out, &error)))
		return fail(cli, &error);
	tell(cli, export);
	return CLI_OK;
}

static int cancel_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	char path[PATH_MAX_BYTES];
	auto_buf struct buf answer;
	buf_init(&answer, 65536);
	if (!export_path(cli, "", path, &error))
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	if (!api_fetch(api, "DELETE", path, NULL, &answer, &error))
		return fail(cli, &error);
	if (cli->json)
		(void)printf("%s\n", answer.len_bytes > 0 ? buf_str(&answer) : "{}");
	else
		(void)printf("%s\n", answer.len_bytes > 0 ? "it is being cancelled" : "removed, with its file");
	return CLI_OK;
}

static const struct args_option create_options[] = {
	{"format", "csv|json|ndjson", "the form of the file (csv)"},
	{"query", "QUERY", "only of the devices that match"},
	{"device", "DEVICE", "only of this one"},
	{"from", "TIME", "not before: RFC 3339, or how long ago (7d)"},
	{"to", "TIME", "before this time, likewise"},
	{"columns", "A,B,..", "only these, in this order"},
	{"wait", NULL, "until it has ended"},
	{"timeout", "DURATION", "how long to wait at most (1h)"},
	{"out", "FILE", "wait, and put it there"},
	{NULL, NULL, NULL},
};
static const struct args_option get_options[] = {
	{"out", "FILE", "put it there; what is there of it already is kept"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_export[] = {
	{"export", "create", "KIND", 1, 1, "a file of all devices, telemetry, commands, events or audit",
	 create_options, create_run},
	{"export", "list", NULL, 0, 0, "yours, and how far they are", NULL, list_run},
	{"export", "get", "EXPORT", 1, 1, "one of them, and its file", get_options, get_run},
	{"export", "cancel", "EXPORT", 1, 1, "end it, or remove it with its file", NULL, cancel_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
