#include "dashboard/exports.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/topic.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/export_kinds.h"
#include "dashboard/export_work.h"
#include "dashboard/targets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OPEN_MAX "3" // exports of one person that wait or run
#define DETAIL_MAX_BYTES 16384
#define COLUMN_BYTES 32 // of one name, quoted
#define TIME_MAX_MS INT64_C(253402300799999) // the end of the year 9999

#define EXPORT                                                                                                         \
	"json_build_object('id', x.id, 'kind', x.kind, 'format', x.format, 'columns', x.columns, 'query', x.query,"    \
	" 'device', x.device, 'from', x.since, 'to', x.until, 'state', x.state, 'cancelling', x.cancel and x.state ="  \
	" 'running', 'rows', x.rows, 'estimate', x.estimate, 'bytes', x.bytes, 'truncated', x.truncated, 'reason',"    \
	" x.reason, 'created_at', x.created_at, 'started_at', x.started_at, 'finished_at', x.finished_at,"             \
	" 'expires_at', x.expires_at, 'file', case when x.state = 'done' then '/api/v1/exports/' || x.id || '/file'"   \
	" end)"
// $1 whose, $2 limit, $3 and $4 of the last one seen.
static const char LIST_SQL[] =
	"select " EXPORT ", (extract(epoch from x.created_at) * 1000000)::bigint || '.' || x.id from export x"
	" where x.requested_by = $1 and ($3::bigint is null or x.created_at < timestamptz 'epoch' + $3 * interval '1 "
	"us'"
	" or (x.created_at = timestamptz 'epoch' + $3 * interval '1 us' and x.id > $4::uuid))"
	" order by x.created_at desc, x.id limit $2::integer + 1";
const char exports_changed_sql[] =
	"select x.id, (extract(epoch from x.changed_at) * 1000000)::bigint, " EXPORT ", x.requested_by, null, null"
	" from export x where x.changed_at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond'"
	" and $3::text[] is null order by x.changed_at desc limit $2::integer";
static const char GET_SQL[] = "select " EXPORT " from export x where x.requested_by = $1 and x.id::text = $2";
// $10 how many may be kept. No row: there are too many. The lock makes requests that come at once wait for each other.
static const char CREATE_SQL[] =
	"with own as (select count(*) filter (where state in ('queued', 'running')) as open,"
	" count(*) filter (where state in ('queued', 'running', 'done')) as kept from export where requested_by = $1)"
	" insert into export as x (requested_by, kind, format, columns, query, device, since, until, request_id)"
	" select $1, $2, $3, array(select jsonb_array_elements_text($4::jsonb)), $5, $6,"
	" timestamptz 'epoch' + $7::bigint * interval '1 ms', timestamptz 'epoch' + $8::bigint * interval '1 ms', $9"
	" from own where open < " OPEN_MAX " and kept < $10::integer returning x.id, " EXPORT;
static const char CREATE_LOCK_SQL[] = "select pg_advisory_xact_lock(hashtext('muster.export ' || $1))";
// What has ended is forgotten, what runs is told to end. Columns: what became of it, how it was.
static const char REMOVE_SQL[] =
	"with found as (select id, state from export where requested_by = $1 and id::text = $2 for update),"
	" gone as (delete from export using found where export.id = found.id and found.state <> 'running' returning 1),"
	" told as (update export set cancel = true, changed_at = now() from found where export.id = found.id"
	" and found.state = 'running' returning 1) select id, state from found";
static const char FILE_SQL[] =
	"select kind, format, to_char(finished_at at time zone 'UTC', 'YYYYMMDD-HH24MISS'), state,"
	" scope_tenant = coalesce(current_setting('muster.tenant', true), '')"
	" and scope_groups = coalesce(current_setting('muster.groups', true), '')"
	" from export where requested_by = $1 and id::text = $2";
enum file { KIND, FORMAT, FINISHED, STATE, SAME_SCOPE };

#define MISSING "You have no export of this id; GET /api/v1/exports lists yours."

struct asked {
	const struct export_kind *kind;
	enum export_format format;
	struct buf columns; // JSON
	const char *query, *device;
	char since[24], until[24]; // "": any
};

static void asked_done(struct asked *asked)
{
	buf_done(&asked->columns);
}

static bool is_off(struct dashboard *dashboard, struct http_request *request)
{
	if (dashboard->exports)
		return false;
	http_reply_problem(request, 409, "Exports are off here: set exports.dir in the dashboard's configuration.");
	return true;
}

// ---- asking ----

static bool read_time(const struct json *body, const char *name, char out[24], struct error *error)
{
	const struct json *value = json_member(body, name);
	const char *text = NULL;
	int64_t ms = 0;

	if (!value || json_type(value) == JSON_NULL)
		return true;
	if (!json_as_int(value, &ms) && !(json_as_string(value, &text) && clock_parse_rfc3339(text, strlen(text), &ms)))
		ms = -1;
	if (ms < 0 || ms > TIME_MAX_MS)
		return error_set(error, ERROR_INVALID, "\"%s\" must be milliseconds since 1970 or an RFC 3339 time.",
				 name);
	(void)snprintf(out, 24, "%lld", (long long)ms);
	return true;
}

static bool read_columns(const struct json *list, struct asked *out, struct error *error)
{
	size_t listed = list ? json_array_length(list) : out->kind->column_count;

	if (listed < 1 || listed > out->kind->column_count)
		return error_set(error, ERROR_INVALID, "\"columns\" must be an array of 1 to %zu names.",
				 out->kind->column_count);
	for (size_t i = 0; i < listed; i++) {
		const char *name = list ? "" : out->kind->columns[i].name;

		if (list && (!json_as_string(json_array_at(list, i), &name) || !export_column_find(out->kind, name)))
			return error_set(error, ERROR_INVALID,
					 "There is no column \"%.64s\"; GET /api/v1/exports/kinds lists them.", name);
		(void)buf_add_str(&out->columns, i > 0 ? "," : "[");
		(void)json_quote(&out->columns, name);
	}
	return buf_add_str(&out->columns, "]");
}

static bool read_bounds(const struct json *body, struct asked *out, struct error *error)
{
	if (!read_time(body, "from", out->since, error) || !read_time(body, "to", out->until, error))
		return false;
	if (!out->kind->time && (out->since[0] || out->until[0]))
		return error_set(error, ERROR_INVALID, "%s have no \"from\" and \"to\": they are as they are now.",
				 out->kind->name);
	if (!out->kind->by_device && (out->device || out->query[0]))
		return error_set(error, ERROR_INVALID, "%s has no \"device\" and \"query\".", out->kind->name);
	return !out->device || topic_is_device_id(out->device) ||
	       error_set(error, ERROR_INVALID, "\"device\" must be a device id.");
}

static bool read_asked(const struct json *body, struct asked *out, struct error *error)
{
	static const char *const known[] = {"kind", "format", "columns", "query", "device", "from", "to"};
	const char *kind = "", *format = "csv";

	for (struct json_iterator it = json_begin(body); json_next(&it);) {
		bool found = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found = found || strcmp(known[i], it.name) == 0;
		if (!found)
			return error_set(error, ERROR_INVALID, "\"%.64s\" is not known here.", it.name);
	}
	(void)json_member_string(body, "kind", &kind);
	(void)json_member_string(body, "format", &format);
	(void)json_member_string(body, "query", &out->query);
	(void)json_member_string(body, "device", &out->device);
	out->kind = export_kind_find(kind);
	if (!out->kind)
		return error_set(error, ERROR_INVALID,
				 "\"kind\" is one of devices, telemetry, commands, events and audit.");
	if (!export_format_parse(format, &out->format))
		return error_set(error, ERROR_INVALID, "\"format\" is one of csv, json and ndjson.");
	if (strlen(out->query) > QUERY_TEXT_MAX)
		return error_set(error, ERROR_INVALID, "\"query\" is longer than %d bytes.", QUERY_TEXT_MAX);
	return read_columns(json_member(body, "columns"), out, error) && read_bounds(body, out, error);
}

static bool store(struct dashboard *dashboard, struct http_request *request, const struct asked *asked,
		  const char *detail, struct pg_result **made, struct error *error)
{
	const char *user = auth_of(request)->user;
	char kept[24];
	const char *const params[] = {user,
				      asked->kind->name,
				      export_format_name(asked->format),
				      buf_str(&asked->columns),
				      asked->query,
				      asked->device,
				      asked->since[0] ? asked->since : NULL,
				      asked->until[0] ? asked->until : NULL,
				      http_request_id(request),
				      kept};

	(void)snprintf(kept, sizeof(kept), "%ld", dashboard->config.exports_per_person);
	return pg_ready(dashboard->pg, error) && pg_begin(dashboard->pg, error) &&
	       PG_QUERY(dashboard->pg, NULL, error, CREATE_LOCK_SQL, user) &&
	       pg_query(dashboard->pg, made, error, CREATE_SQL, 10, params) &&
	       (pg_rows(*made) == 0 ||
		api_audit(dashboard, request, user, "export.create", pg_text(*made, 0, 0), detail, error)) &&
	       pg_commit(dashboard->pg, error);
}

static void create(struct dashboard *dashboard, struct http_request *request, const struct asked *asked,
		   const char *detail)
{
	struct error error = {0};
	auto_pg_result struct pg_result *made = NULL;
	auto_query struct query query = {0};

	if (asked->kind->by_device && !targets_compile(dashboard, request, asked->query, EXPORT_QUERY_PARAM, &query))
		return;
	if (!store(dashboard, request, asked, detail, &made, &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
	} else if (pg_rows(made) == 0) {
		http_reply_problem(request, 409,
				   "You have " OPEN_MAX " exports under way, or as many files as are kept for a "
				   "person: wait, or remove one (DELETE /api/v1/exports/{id}).");
	} else {
		export_work_wake(dashboard->exports);
		log_info("export.create", "request_id", http_request_id(request), "export", pg_text(made, 0, 0), "kind",
			 asked->kind->name, "user", auth_of(request)->user);
		api_reply_text(request, 202, pg_text(made, 0, 1));
	}
}

void exports_create(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	struct asked asked cleanup(asked_done) = {.query = ""};
	struct error error = {0};

	if (!body || is_off(user, request))
		return;
	buf_init(&asked.columns, (size_t)EXPORT_COLUMNS_MAX * COLUMN_BYTES);
	bool sound = read_asked(body, &asked, &error);

	if (!sound)
		http_reply_problem(request, 422, error.what);
	else if (strcmp(asked.kind->name, "audit") == 0 &&
		 !(auth_of(request)->role & (ROLE_ADMINISTRATOR | ROLE_AUDITOR)))
		http_reply_problem(request, 403, "The audit is for administrators and auditors.");
	else if (strlen(json_text(body)) > DETAIL_MAX_BYTES)
		http_reply_problem(request, 422, "The request is too large.");
	else
		create(user, request, &asked, json_text(body));
}

// ---- looking ----

void exports_kinds(struct http_request *request, void *user)
{
	static const char *const names[] = {"devices", "telemetry", "commands", "events", "audit"};
	auto_buf struct buf body;

	buf_init(&body, API_ANSWER_MAX_BYTES);
	(void)buf_add_str(&body, "{\"items\":[");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct export_kind *kind = export_kind_find(names[i]);

		(void)buf_addf(&body, "%s{\"kind\":\"%s\",\"by_device\":%s,\"by_time\":%s,\"columns\":[",
			       i > 0 ? "," : "", kind->name, kind->by_device ? "true" : "false",
			       kind->time ? "true" : "false");
		for (size_t k = 0; k < kind->column_count; k++)
			(void)buf_addf(&body, "%s\"%s\"", k > 0 ? "," : "", kind->columns[k].name);
		(void)buf_add_str(&body, "]}");
	}
	(void)buf_add_str(&body, "],\"next\":null}");
	api_reply_text(request, 200, buf_str(&body));
}

void exports_list(struct http_request *request, void *user)
{
	const char *after = api_text(request, "after");
	char cursor[API_CURSOR_MAX], limit_text[24], *parts[2] = {NULL};
	int64_t limit = 0, ignored = 0;
	auto_pg_result struct pg_result *rows = NULL;

	if (!api_limit(request, &limit))
		return;
	if (after) {
		(void)snprintf(cursor, sizeof(cursor), "%s", after);
		if (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &ignored)) {
			(void)api_bad_cursor(request);
			return;
		}
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);
	const char *const params[] = {auth_of(request)->user, limit_text, parts[0], parts[1]};

	if (api_query(user, request, &rows, LIST_SQL, 4, params))
		api_reply_page(request, rows, limit);
}

void exports_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {auth_of(request)->user, http_param(request, "id")};

	if (api_query(user, request, &row, GET_SQL, 2, params))
		api_reply_row(request, row, MISSING);
}

// ---- the file ----

// Answers when it is not there to be had.
static bool refuse_file(struct http_request *request, const struct pg_result *row)
{
	const char *state = pg_rows(row) > 0 ? pg_text(row, 0, STATE) : "";

	if (!state[0])
		http_reply_problem(request, 404, MISSING);
	else if (strcmp(state, "expired") == 0)
		http_reply_problem(request, 410, "The file has expired; export again.");
	else if (strcmp(state, "done") != 0)
		http_reply_problem(request, 409,
				   "There is no file: GET /api/v1/exports/{id} says how far it is, or why.");
	else if (!pg_bool(row, 0, SAME_SCOPE))
		http_reply_problem(request, 403, "What you may see has changed since this was made; export again.");
	else
		return false;
	return true;
}

void exports_file(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *id = http_param(request, "id");
	const char *const params[] = {auth_of(request)->user, id};
	auto_pg_result struct pg_result *row = NULL;
	char path[EXPORT_PATH_MAX], name[160], etag[48];
	enum export_format format = EXPORT_CSV;

	if (is_off(dashboard, request) || !api_query(dashboard, request, &row, FILE_SQL, 2, params) ||
	    refuse_file(request, row))
		return;
	export_path(&dashboard->config, id, EXPORT_DONE, path);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0) {
		log_error("export.lost", "export", id, "error", strerror(errno));
		http_reply_problem(request, 410,
				   "The file is not there any more; export again. Dashboards that share a "
				   "database must share exports.dir.");
		return;
	}
	if (!export_format_parse(pg_text(row, 0, FORMAT), &format))
		format = EXPORT_CSV; // the table has no other
	(void)snprintf(name, sizeof(name), "attachment; filename=\"muster-%s-%s.%s\"", pg_text(row, 0, KIND),
		       pg_text(row, 0, FINISHED), export_format_name(format));
	http_reply_header(request, "Content-Disposition", name);
	(void)snprintf(etag, sizeof(etag), "\"%.40s\"", id); // an export's file never changes
	http_reply_file(request, export_format_type(format), fd, etag);
}

// ---- taking back ----

void exports_remove(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *id = http_param(request, "id"), *who = auth_of(request)->user;
	auto_pg_result struct pg_result *row = NULL;
	struct error error = {0};
	char path[EXPORT_PATH_MAX];
	bool done;

	if (is_off(dashboard, request))
		return;
	done = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
	       PG_QUERY(dashboard->pg, &row, &error, REMOVE_SQL, who, id) &&
	       (pg_rows(row) == 0 || api_audit(dashboard, request, who, "export.remove", id, "{}", &error)) &&
	       pg_commit(dashboard->pg, &error);
	if (!done) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
	} else if (pg_rows(row) == 0) {
		http_reply_problem(request, 404, MISSING);
	} else if (strcmp(pg_text(row, 0, 1), "running") == 0) {
		exports_get(request, user);
	} else {
		export_path(&dashboard->config, pg_text(row, 0, 0), EXPORT_DONE, path);
		(void)unlink(path);
		http_reply(request, 204, NULL, NULL, 0);
	}
}
