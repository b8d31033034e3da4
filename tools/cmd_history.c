// muster command export|verify: the history of commands as a file that proves itself.
#include "common/clock.h"
#include "common/file.h"
#include "tools/account.h"
#include "tools/cli.h"
#include "tools/cmd_signing_key.h"
#include "tools/history.h"
#include "tools/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINES_MAX "1000000"
#define TRUST_FILE_MAX_BYTES 1048576
#define TEXT_MAX_BYTES 4096

// A line a row, in the order that history.c wants: by device, its certificates, then its commands as they were signed,
// each with its answers. json, not jsonb: it keeps the order of members. No line is nested deeper than what a device
// said, which is as deep as we read.
static const char sql_lines[] =
	"with c as (select * from command where ($1::uuid is null or id = $1::uuid) and ($2::text is null or device = "
	"$2)"
	"  and ($3::bigint is null or created_at >= to_timestamp($3::bigint))),"
	" a as (select detail ->> 'command' as command, json_agg(to_jsonb(audit) #- '{detail,params}' order by id) as "
	"rows"
	"  from audit"
	"  where action = 'command.request' and detail ->> 'command' in (select id::text from c) group by 1),"
	" lines as ("
	"  select device, 0 as part, null::bigint as n, '' as id, 0 as sub, created_at as at, 0::bigint as seq,"
	"   json_build_object('line', 'certificate', 'device', device, 'serial', serial, 'issued_at', created_at,"
	"    'revoked_at', revoked_at, 'pem', pem)::text as line"
	"   from certificate where device in (select device from c)"
	"  union all select c.device, 1, c.n, c.id::text, 0, c.created_at, 0,"
	"   json_build_object('line', 'command', 'id', c.id, 'device', c.device, 'n', c.n, 'requested_by', "
	"c.requested_by,"
	"    'source', c.source, 'request_id', c.request_id, 'created_at', c.created_at, 'action', c.action, 'params', "
	"c.params,"
	"    'state', c.state, 'reason', c.reason, 'jws', coalesce(c.jws, ''), 'events', (select coalesce(json_agg("
	"     json_build_object('state', e.state, 'at', e.at, 'cause', e.cause, 'request_id', e.request_id) order by "
	"e.id), '[]')"
	"     from command_event e where e.command = c.id), 'audit', coalesce(a.rows, '[]'))::text"
	"   from c left join a on a.command = c.id::text"
	"  union all select s.device, 1, s.n, s.command::text, 0, s.at, 0,"
	"   json_build_object('line', 'signed', 'device', s.device, 'command', s.command, 'n', s.n, 'jws', s.jws)::text"
	"   from command_superseded s where s.command in (select id from c)"
	"  union all select c.device, 1, c.n, c.id::text, 1, r.received_at, r.seq,"
	"   json_build_object('line', 'result', 'device', r.device, 'command', c.id, 'received_at', r.received_at, "
	"'state',"
	"    r.state, 'verdict', r.verdict, 'certificate', r.certificate, 'signed', coalesce(r.signed, ''),"
	"    'sig', coalesce(r.body ->> 'sig', ''), 'reason', case when r.signed is null then r.body ->> 'reason' end,"
	"    'output', case when r.signed is null then r.body -> 'output' end)::text"
	"   from c join command_result r on r.device = c.device and r.command = c.id::text)"
	" select line from lines order by device collate \"C\", part, n nulls last, id collate \"C\", sub, at, seq "
	"limit " LINES_MAX;

// ---- export ----

struct scope {
	const char *command, *device; // NULL: all
	char since[24];		      // seconds since 1970; "" for all
};

// "2026-11-21T..Z", or how long ago: 7d.
static bool parse_scope(struct cli *cli, struct scope *out, struct error *error)
{
	const char *since = args_value(&cli->args, "since");
	int64_t at_ms = 0;
	long ago_s = 0;
	*out = (struct scope){.command = cli->args.operand_count > 0 ? cli->args.operands[0] : NULL,
			      .device = args_value(&cli->args, "device")};
	if (!out->command && !out->device && !since)
		return error_set(error, ERROR_INVALID, "name a command, --device or --since");
	if (since && clock_parse_rfc3339(since, strlen(since), &at_ms))
		(void)snprintf(out->since, sizeof(out->since), "%" PRId64, at_ms / 1000);
	else if (since && args_duration(&cli->args, "since", 0, &ago_s, error))
		(void)snprintf(out->since, sizeof(out->since), "%" PRId64, clock_wall_ms() / 1000 - ago_s);
	return !since || *out->since ||
	       error_set(error, ERROR_INVALID,
			 "--since is a time such as 2026-11-21T12:00:00Z, or how long ago: 12h, 30d");
}

static void add_first(struct buf *out, const struct scope *scope)
{
	char now[CLOCK_RFC3339_BYTES];
	auto_json struct json *line = json_new_object();
	clock_format_rfc3339(clock_wall_ms(), now);
	json_set_string(line, "line", "history");
	json_set_int(line, "version", 1);
	json_set_string(line, "exported_at", now);
	json_set_string(line, "command", scope->command);
	json_set_string(line, "device", scope->device);
	json_set_string(line, "since", *scope->since ? scope->since : NULL);
	(void)buf_add_str(out, json_text(line));
	(void)buf_add_str(out, "\n");
}

static bool write_all(FILE *out, const struct buf *text, struct error *error)
{
	if (fwrite(text->data, 1, text->len_bytes, out) != text->len_bytes || fflush(out) != 0)
		return error_errno(error, errno, "cannot write the history");
	return fsync(fileno(out)) == 0 || errno == EINVAL || errno == EROFS || // a pipe or a terminal
	       error_errno(error, errno, "cannot write the history");
}

static bool write_history(struct cli *cli, struct pg *pg, const struct scope *scope, FILE *out, size_t *lines,
			  struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf text = {0};
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) =
		jws_signer_load(stack_path(&cli->stack, "keys/command.pem").text, error);
	if (!signer ||
	    !PG_QUERY(pg, &rows, error, sql_lines, scope->command, scope->device, *scope->since ? scope->since : NULL))
		return false;
	*lines = pg_rows(rows);
	if (*lines == 0)
		return scope->device ? error_set(error, ERROR_NOT_FOUND, "there is no command to \"%s\"", scope->device)
				     : error_set(error, ERROR_NOT_FOUND, "there is no such command");
	if (*lines == strtoul(LINES_MAX, NULL, 10))
		return error_set(error, ERROR_LIMIT, "that is more than " LINES_MAX " lines: export it in parts");
	buf_init(&text, HISTORY_MAX_BYTES);
	add_first(&text, scope);
	for (size_t row = 0; row < *lines; row++)
		(void)buf_addf(&text, "%s\n", pg_text(rows, row, 0));
	char *end auto_free =
		text.overflowed ? NULL : history_end(signer, text.data, text.len_bytes, *lines + 1, error);
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "that is more than %zu bytes: export it in parts",
				 HISTORY_MAX_BYTES);
	return end && buf_addf(&text, "%s\n", end) && write_all(out, &text, error);
}

static void tell_exported(const struct cli *cli, const char *path, size_t lines)
{
	if (cli->json) {
		auto_json struct json *json = json_new_object();
		json_set_string(json, "file", path);
		json_set_int(json, "lines", (int64_t)lines + 2);
		cli_print_json(json);
	} else {
		(void)printf("%s: %zu lines\nnext: muster command verify %s, on any machine that has --keys (muster "
			     "signing-key "
			     "list --json) and --ca (ca/device.crt)\n",
			     path, lines + 2, path);
	}
}

static int export_run(struct cli *cli)
{
	struct error error = {0};
	struct scope scope;
	size_t lines = 0;
	const char *path = args_value(&cli->args, "out");
	if (!parse_scope(cli, &scope, &error))
		return cli_usage(cli, &error);
	(void)umask(077);
	// Before cli_open, after which root is the stack's owner, who may not write here.
	FILE *file auto_fclose = path ? fopen(path, "w") : NULL;
	if (path && !file) {
		error_errno(&error, errno, "cannot write %s", path);
		return cli_fail(cli, &error,
				"name a file in a folder of your own, or leave out --out for standard output");
	}
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	auto_json struct json *survey = pg ? signing_key_survey(&cli->stack, pg, &error) : NULL;
	const char *what = scope.command ? scope.command : scope.device;
	if (!survey || !write_history(cli, pg, &scope, file ? file : stdout, &lines, &error) ||
	    !account_audit(pg, "command.export", what ? what : "", "{}", &error))
		return cli_fail(cli, &error,
				error.kind == ERROR_NOT_FOUND ? "muster device show DEVICE lists its latest" : NULL);
	if (path)
		tell_exported(cli, path, lines);
	return CLI_OK;
}

// ---- verify ----

static char *read_trust(const struct cli *cli, const char *option, const char *usual, size_t *len_bytes,
			struct error *error)
{
	const char *given = args_value(&cli->args, option);
	struct stack_path path = stack_path(&cli->stack, "%s", usual);
	char *text = file_read(given ? given : path.text, TRUST_FILE_MAX_BYTES, len_bytes, error);
	if (!text)
		(void)error_prefix(error, "--%s", option);
	return text;
}

static bool load_trust(const struct cli *cli, struct history_trust *out, struct error *error)
{
	size_t keys_bytes = 0;
	char *keys auto_free = read_trust(cli, "keys", "keys/signers.json", &keys_bytes, error);
	char *ca auto_free = keys ? read_trust(cli, "ca", "ca/device.crt", NULL, error) : NULL;
	return ca && history_trust_parse(keys, keys_bytes, ca, out, error);
}

struct telling {
	bool list;
	struct json *items; // with --json
};

static void on_command(void *user, const struct command *command, const char *state)
{
	struct telling *telling = user;
	char issued[CLOCK_RFC3339_BYTES];
	clock_format_rfc3339(command->issued_s * 1000, issued);
	if (telling->items) {
		struct json *item = json_new_object();
		json_set_string(item, "command", command->id);
		json_set_string(item, "device", command->device);
		json_set_int(item, "n", command->counter);
		json_set_string(item, "action", command->action);
		json_set_string(item, "by", command->by);
		json_set_string(item, "issued_at", issued);
		json_set_string(item, "state", state);
		json_append(telling->items, item);
	} else if (telling->list) {
		(void)printf("%s  %-20s %-16s by %-16s ", issued, command->device, command->action, command->by);
		struct buf safe auto_buf = {0};
		buf_init(&safe, TEXT_MAX_BYTES);
		text_add_safe(&safe, state);
		(void)printf("%s\n", buf_str(&safe));
	}
}

static void print_report(const char *path, const struct history_report *report)
{
	(void)printf("%s: %zu commands to %zu devices; %zu answers signed by their device, %zu unsigned, %zu refused\n",
		     path, report->commands, report->devices, report->verified, report->unsigned_results,
		     report->refused);
	if (report->unsent > 0)
		(void)printf("  %zu were refused or taken back before they were signed\n", report->unsent);
	if (report->partial > 0)
		(void)printf("  of %zu devices it does not begin with their first command\n", report->partial);
	for (size_t i = 0; i < report->fault_count && i < HISTORY_FAULTS_MAX; i++) {
		struct buf safe auto_buf = {0};
		buf_init(&safe, TEXT_MAX_BYTES);
		text_add_safe(&safe, report->faults[i].what);
		if (report->faults[i].line > 0)
			(void)printf("  line %zu: %s\n", report->faults[i].line, buf_str(&safe));
		else
			(void)printf("  %s\n", buf_str(&safe));
	}
	if (report->fault_count > HISTORY_FAULTS_MAX)
		(void)printf("  and %zu more\n", report->fault_count - HISTORY_FAULTS_MAX);
	if (report->fault_count == 0)
		(void)printf(
			"verified: nothing is missing between its first line and its last, and nothing was changed\n");
}

static void print_report_json(const char *path, const struct history_report *report, struct json *commands)
{
	auto_json struct json *json = json_new_object();
	struct json *results = json_new_object();
	struct json *faults = json_new_array();
	json_set_string(json, "file", path);
	json_set_bool(json, "verified", report->fault_count == 0);
	json_set_int(json, "devices", (int64_t)report->devices);
	json_set_int(json, "devices_partial", (int64_t)report->partial);
	json_set_int(json, "unsent", (int64_t)report->unsent);
	json_set_int(results, "signed", (int64_t)report->verified);
	json_set_int(results, "unsigned", (int64_t)report->unsigned_results);
	json_set_int(results, "refused", (int64_t)report->refused);
	json_set(json, "results", results);
	for (size_t i = 0; i < report->fault_count && i < HISTORY_FAULTS_MAX; i++) {
		struct json *fault = json_new_object();
		json_set_int(fault, "line", (int64_t)report->faults[i].line);
		json_set_string(fault, "what", report->faults[i].what);
		json_append(faults, fault);
	}
	json_set_int(json, "fault_count", (int64_t)report->fault_count);
	json_set(json, "faults", faults);
	json_set(json, "commands", json_copy(commands));
	cli_print_json(json);
}

static int verify_run(struct cli *cli)
{
	struct error error = {0};
	struct history_trust trust = {.key_count = 0};
	size_t len_bytes = 0;
	const char *path = cli->args.operands[0];
	struct telling telling = {.list = args_has(&cli->args, "list")};
	auto_json struct json *items = json_new_array();
	char *text auto_free = file_read(path, HISTORY_MAX_BYTES, &len_bytes, &error);
	if (!text)
		return cli_fail(cli, &error, "muster command export makes such a file");
	if (!load_trust(cli, &trust, &error))
		return cli_fail(cli, &error,
				"give what to trust: --keys FILE, as muster signing-key list --json prints it, and"
				" --ca FILE, the authorities of devices (ca/device.crt)");
	struct history_report *report auto_free = calloc(1, sizeof(*report));
	if (!report)
		abort();
	telling.items = cli->json ? items : NULL;
	history_verify(text, len_bytes, &trust, on_command, &telling, report);
	history_trust_done(&trust);
	if (cli->json)
		print_report_json(path, report, items);
	else
		print_report(path, report);
	return report->fault_count == 0 ? CLI_OK : CLI_FAILED;
}

static const struct args_option export_options[] = {
	{"device", "DEVICE", "all commands to this device"},
	{"since", "TIME", "only those asked for since then: 2026-11-21T12:00:00Z, or how long ago: 30d"},
	{"out", "FILE", "where to (standard output)"},
	{NULL, NULL, NULL},
};
static const struct args_option verify_options[] = {
	{"keys", "FILE", "signing keys: what muster signing-key list --json printed (keys/signers.json of the stack)"},
	{"ca", "FILE", "authorities of devices, PEM (ca/device.crt of the stack)"},
	{"list", NULL, "each command, too: when, to whom, what, who asked, how it ended"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_history[] = {
	{"command", "export", "[ID]", 0, 1,
	 "the history of one, or of a device's commands, as a file that proves itself", export_options, export_run},
	{"command", "verify", "FILE", 1, 1, "check an exported history: who asked, what was signed, what was answered",
	 verify_options, verify_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
