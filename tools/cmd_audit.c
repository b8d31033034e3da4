// muster audit list|verify|export|prune: who changed what, and whether that is all of it, unchanged.
#include "common/clock.h"
#include "common/file.h"
#include "tools/account.h"
#include "tools/api.h"
#include "tools/audit_chain.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH "5000"
#define DETAIL_SHOWN 160

// What is hashed is made here too, and not by the function of the database, which might have been changed.
static const char sql_links[] =
	"select l.position, encode(l.hash, 'hex'), encode(l.prev, 'hex'), case when a.id is not null then"
	" jsonb_build_object('position', l.position, 'prev', encode(l.prev, 'hex'), 'id', a.id,"
	" 'at', to_char(a.at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), 'actor', a.actor,"
	" 'action', a.action, 'target', a.target, 'peer', a.peer, 'request_id', a.request_id, 'tenant', a.tenant,"
	" 'detail', a.detail)::text end"
	" from audit_link l left join audit a on a.id = l.audit where l.position > $1 order by l.position limit " BATCH;
// The checkpoint counts when a row of the chain behind it says so.
static const char sql_start[] =
	"select c.position, encode(c.hash, 'hex'), exists (select from audit a join audit_link l on l.audit = a.id"
	" where a.action = 'audit.prune' and a.target = c.position::text and a.detail ->> 'hash' = encode(c.hash, "
	"'hex'))"
	" from audit_checkpoint c order by c.position desc limit 1";
static const char sql_unlinked[] = "select a.id from audit a where not exists (select from audit_link l where l.audit ="
				   " a.id) order by a.id limit 1";
static const char sql_prune[] = "select prune_audit(now() - make_interval(secs => $1::bigint), $2)";

// ---- the chain, of the database or of a file ----

typedef bool on_link_fn(void *user, const struct audit_link *link, struct error *error);

static bool find_start(struct pg *pg, struct audit_point *out, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	*out = audit_beginning;
	if (!pg_query(pg, &rows, error, sql_start, 0, NULL))
		return false;
	if (pg_rows(rows) == 0)
		return true;
	out->position = pg_int(rows, 0, 0);
	(void)snprintf(out->hash, sizeof(out->hash), "%s", pg_text(rows, 0, 1));
	return pg_bool(rows, 0, 2) || error_set(error, ERROR_INVALID,
						"the checkpoint at position %" PRId64
						" is not the work of retention: no row behind it says so",
						out->position);
}

static void link_of(const struct pg_result *rows, size_t row, struct audit_link *out)
{
	*out = (struct audit_link){.text = pg_text(rows, row, 3)};
	out->text_bytes = out->text ? strlen(out->text) : 0;
	out->point.position = pg_int(rows, row, 0);
	(void)snprintf(out->point.hash, sizeof(out->point.hash), "%s", pg_text(rows, row, 1));
	(void)snprintf(out->prev, sizeof(out->prev), "%s", pg_text(rows, row, 2));
}

// One snapshot, so that rows that come meanwhile make no difference.
static bool walk_links(struct pg *pg, int64_t after, on_link_fn *on_link, void *user, struct error *error)
{
	for (size_t count = 1; count > 0;) {
		char position[24];
		auto_pg_result struct pg_result *rows = NULL;
		(void)snprintf(position, sizeof(position), "%" PRId64, after);
		if (!PG_QUERY(pg, &rows, error, sql_links, position))
			return false;
		count = pg_rows(rows);
		for (size_t row = 0; row < count; row++) {
			struct audit_link link;
			link_of(rows, row, &link);
			if (!on_link(user, &link, error))
				return false;
			after = link.point.position;
		}
	}
	return true;
}

static bool add_link(void *user, const struct audit_link *link, struct error *error)
{
	return audit_chain_add(user, link, error);
}

static bool verify_database(struct pg *pg, const struct audit_point *expected, struct audit_chain *chain,
			    struct error *error)
{
	struct audit_point start;
	auto_pg_result struct pg_result *unlinked = NULL;
	if (!pg_exec(pg, "begin isolation level repeatable read read only", error) || !find_start(pg, &start, error))
		return false;
	audit_chain_begin(chain, &start, expected);
	if (!walk_links(pg, start.position, add_link, chain, error) ||
	    !pg_query(pg, &unlinked, error, sql_unlinked, 0, NULL))
		return false;
	if (pg_rows(unlinked) > 0)
		return error_set(error, ERROR_INVALID,
				 "the row with id %s stands in the audit without being in its chain",
				 pg_text(unlinked, 0, 0));
	return audit_chain_end(chain, error);
}

// The first line says where a part of the chain begins.
static bool verify_file(FILE *file, const struct audit_point *expected, struct audit_chain *chain, struct error *error)
{
	auto_free char *line = NULL;
	size_t size = 0, number = 0;
	audit_chain_begin(chain, &audit_beginning, expected);
	for (ssize_t length; (length = getline(&line, &size, file)) > 0;) {
		struct audit_link link;
		number++;
		if (line[length - 1] == '\n')
			length--;
		if ((size_t)length > AUDIT_LINE_MAX_BYTES)
			return error_set(error, ERROR_LIMIT, "line %zu is longer than %zu bytes", number,
					 AUDIT_LINE_MAX_BYTES);
		if (!audit_line_parse(line, (size_t)length, &link, error))
			return error_prefix(error, "line %zu", number);
		if (number == 1 && link.point.position > 1) {
			struct audit_point start = {.position = link.point.position - 1};
			memcpy(start.hash, link.prev, sizeof(start.hash));
			audit_chain_begin(chain, &start, expected);
		}
		if (!audit_chain_add(chain, &link, error))
			return error_prefix(error, "line %zu", number);
	}
	if (ferror(file))
		return error_errno(error, errno, "cannot read on behind line %zu", number);
	return audit_chain_end(chain, error);
}

// ---- verify ----

static void print_verified(const struct cli *cli, const struct audit_chain *chain)
{
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		struct json *head = json_new_object();
		json_set_bool(json, "verified", true);
		json_set_int(json, "rows", chain->rows);
		json_set_int(json, "from", chain->last.position - chain->rows + 1);
		json_set_int(head, "position", chain->last.position);
		json_set_string(head, "hash", chain->last.hash);
		json_set(json, "head", head);
		cli_print_json(json);
		return;
	}
	(void)printf("verified: %" PRId64 " rows, nothing missing and nothing changed", chain->rows);
	if (chain->rows > 0 && chain->last.position > chain->rows)
		(void)printf(" since position %" PRId64, chain->last.position - chain->rows + 1);
	(void)printf("\n%" PRId64 ":%s\n", chain->last.position, chain->last.hash);
	if (chain->expected.position == 0)
		(void)fprintf(
			stderr,
			"keep that line elsewhere: muster audit verify --expect it shows whether rows were cut off\n");
}

static int verify_run(struct cli *cli)
{
	struct error error = {0};
	struct audit_point expected;
	struct audit_chain chain;
	const char *expect = args_value(&cli->args, "expect");
	const char *path = args_value(&cli->args, "file");
	bool good;
	if (expect && !audit_point_parse(expect, &expected)) {
		error_set(&error, ERROR_INVALID, "--expect is what muster audit verify printed: <position>:<hash>");
		return cli_usage(cli, &error);
	}
	if (path) {
		FILE *file auto_fclose = fopen(path, "r");
		if (!file) {
			error_errno(&error, errno, "cannot read %s", path);
			return cli_fail(cli, &error, "muster audit export makes such a file");
		}
		good = verify_file(file, expect ? &expected : NULL, &chain, &error);
	} else {
		if (!cli_open(cli, &error))
			return cli_fail(cli, &error, NULL);
		struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
		good = pg && verify_database(pg, expect ? &expected : NULL, &chain, &error);
	}
	if (!good)
		return cli_fail(cli, &error,
				error.kind == ERROR_INVALID
					? "somebody with rights over the database did this: compare "
					  "with a backup or an export"
					: NULL);
	print_verified(cli, &chain);
	return CLI_OK;
}

// ---- export ----

struct export
{
	FILE *out;
	int64_t rows;
};

static bool write_link(void *user, const struct audit_link *link, struct error *error)
{
	struct export *export = user;
	export->rows++;
	if (!link->text)
		return error_set(error, ERROR_INVALID, "the row at position %" PRId64 " was deleted",
				 link->point.position);
	return fprintf(export->out, "{\"hash\":\"%s\",\"row\":%s}\n", link->point.hash, link->text) > 0 ||
	       error_errno(error, errno, "cannot write the audit");
}

static int export_run(struct cli *cli)
{
	struct error error = {0};
	struct audit_point start;
	const char *path = args_value(&cli->args, "out");
	(void)umask(077);
	// Before cli_open, after which root is the stack's owner, who may not write here.
	FILE *file auto_fclose = path ? fopen(path, "w") : NULL;
	if (path && !file) {
		error_errno(&error, errno, "cannot write %s", path);
		return cli_fail(cli, &error,
				"name a file in a folder of your own, or leave out --out for standard output");
	}
	struct export export = {.out = file ? file : stdout};
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	if (!pg || !account_audit(pg, "audit.export", "", "{}", &error) || !find_start(pg, &start, &error) ||
	    !walk_links(pg, start.position, write_link, &export, &error))
		return cli_fail(cli, &error, NULL);
	if (fflush(export.out) != 0) {
		error_errno(&error, errno, "cannot write the audit");
		return cli_fail(cli, &error, NULL);
	}
	(void)fprintf(stderr, "%" PRId64 " rows; muster audit verify --file checks them on any machine\n", export.rows);
	return CLI_OK;
}

// ---- prune ----

static int prune_run(struct cli *cli)
{
	struct error error = {0};
	char seconds[24], actor[ACCOUNT_ACTOR_BYTES], question[192];
	long older_s = 0;
	auto_pg_result struct pg_result *gone = NULL;
	if (!args_has(&cli->args, "older")) {
		error_set(&error, ERROR_INVALID, "--older is needed, such as 400d");
		return cli_usage(cli, &error);
	}
	if (!args_duration(&cli->args, "older", 0, &older_s, &error))
		return cli_usage(cli, &error);
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	(void)snprintf(question, sizeof(question), "Take away all of the audit that is older than %s?",
		       text_duration(older_s).s);
	if (!cli_confirm(cli, question, &error))
		return cli_fail(cli, &error, CLI_YES);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	(void)snprintf(seconds, sizeof(seconds), "%ld", older_s);
	if (!pg || !PG_QUERY(pg, &gone, &error, sql_prune, seconds, account_actor(actor)))
		return cli_fail(cli, &error, NULL);
	(void)printf(cli->json ? "{\"pruned\":%" PRId64 "}\n" : "%" PRId64 " rows are gone; a checkpoint seals them\n",
		     pg_int(gone, 0, 0));
	return CLI_OK;
}

// ---- list ----

static void add_filters(const struct cli *cli, struct buf *out)
{
	static const char *const names[] = {"actor", "action", "target", "device", "from", "to"};
	long limit = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = args_value(&cli->args, names[i]);
		if (!value)
			continue;
		buf_addf(out, "&%s=", names[i]);
		api_add_encoded(out, value, strlen(value));
	}
	if (args_int(&cli->args, "limit", 1, 500, 50, &limit, NULL))
		buf_addf(out, "&limit=%ld", limit);
}

static void print_rows(const struct json *items)
{
	static const struct table_column columns[] = {{.name = "position", .number = true},
						      {.name = "at"},
						      {.name = "actor"},
						      {.name = "action"},
						      {.name = "target"},
						      {.name = "detail"}};
	auto_table struct table *table = table_new("items", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(items); i++) {
		const struct json *item = json_array_at(items, i);
		auto_json struct json *detail = json_copy(json_member(item, "detail"));
		char position[24], shown[DETAIL_SHOWN];
		auto_buf struct buf target = {0};
		int64_t number = 0;
		(void)json_member_int(item, "position", &number);
		(void)snprintf(position, sizeof(position), "%" PRId64, number);
		(void)snprintf(shown, sizeof(shown), "%s", json_text(detail));
		buf_init(&target, 1024);
		text_add_safe(&target, text_member(item, "target"));
		TABLE_ROW(table, position, text_instant(text_member(item, "at")).s, text_member(item, "actor"),
			  text_member(item, "action"), buf_str(&target), strcmp(shown, "{}") == 0 ? "" : shown);
	}
	table_print(table, false);
	if (json_array_length(items) == 0)
		(void)printf("nothing like that stands in the audit\n");
}

static int list_run(struct cli *cli)
{
	struct error error = {0};
	int exit_code = CLI_OK;
	long limit = 0;
	auto_buf struct buf path = {0};
	if (!args_int(&cli->args, "limit", 1, 500, 50, &limit, &error))
		return cli_usage(cli, &error);
	auto_api struct api *api = api_open(cli, &exit_code);
	if (!api)
		return exit_code;
	buf_init(&path, 8192);
	buf_add_str(&path, "/api/v1/audit?");
	add_filters(cli, &path);
	auto_json struct json *answer = api_request(api, "GET", buf_str(&path), NULL, &error);
	if (!answer)
		return api_fail(cli, &error);
	if (cli->json)
		cli_print_json(answer);
	else
		print_rows(json_member(answer, "items"));
	return CLI_OK;
}

static const struct args_option list_options[] = {
	{"actor", "NAME", "who did it"},    {"action", "ACTION", "what was done: command.request, or all of command."},
	{"target", "TARGET", "to what"},    {"device", "DEVICE", "to this device"},
	{"from", "TIME", "RFC 3339"},	    {"to", "TIME", "RFC 3339"},
	{"limit", "N", "newest first: 50"}, {NULL, NULL, NULL},
};
static const struct args_option verify_options[] = {
	{"file", "FILE", "what muster audit export wrote, instead of the database"},
	{"expect", "POINT", "position and hash that were printed before: shows whether rows were cut off at the end"},
	{NULL, NULL, NULL},
};
static const struct args_option export_options[] = {
	{"out", "FILE", "where to (standard output)"},
	{NULL, NULL, NULL},
};
static const struct args_option prune_options[] = {
	{"older", "TIME", "than this: 400d"},
	{"yes", NULL, "do not ask"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_audit[] = {
	{"audit", "list", NULL, 0, 0, "who changed what, newest first", list_options, list_run},
	{"audit", "verify", NULL, 0, 0, "whether all of it is there, unchanged and in order", verify_options,
	 verify_run},
	{"audit", "export", NULL, 0, 0, "all of it as lines of JSON that can be verified", export_options, export_run},
	{"audit", "prune", NULL, 0, 0, "take away what is old; a checkpoint seals it", prune_options, prune_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
