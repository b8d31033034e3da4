#include "dashboard/api.h"

#include "dashboard/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char AUDIT_SQL[] = "insert into audit (actor, action, target, peer, request_id, detail)"
				" values ($1, $2, $3, $4, $5, $6::jsonb)";

bool api_on_connect(struct pg *pg, void *user, struct error *error)
{
	// Compiling a statement takes longer than any of ours may.
	return pg_exec(pg, "set timezone to 'UTC'", error) && pg_exec(pg, "set jit to off", error) &&
	       pg_exec(pg, "set work_mem to '16MB'", error) &&
	       pg_exec(pg, "set statement_timeout to '" API_STATEMENT_TIMEOUT "'", error);
}

void api_reply_error(struct dashboard *dashboard, struct http_request *request, const struct error *error)
{
	if (error->kind == ERROR_UNREACHABLE) {
		log_fault(&dashboard->database_fault, "database.away", error);
		http_reply_header(request, "Retry-After", "2");
		http_reply_problem(request, 503, "The database is away. Devices keep what they report and this "
						 "recovers by itself: try again in a few seconds.");
		return;
	}
	if (pg_sqlstate_is(error, "42501") && strstr(error->what, "row-level security")) {
		http_reply_problem(request, 403,
				   "Your role does not hold for what this would change; ask an administrator.");
		return;
	}
	if (pg_error_is_data(error)) {
		http_reply_problem(request, 400, "A parameter has a form or value that cannot be right; correct it.");
		return;
	}
	log_error("database.error", "request_id", http_request_id(request), "route", http_route_pattern(request),
		  "error", error->what, "sqlstate", error->where);
	http_reply_problem(request, 500, "The database refused a statement; the log of muster-dashboard has the reason "
						 "under this request_id.");
}

bool api_query(struct dashboard *dashboard, struct http_request *request, struct pg_result **out, const char *sql,
	       size_t count, const char *const *params)
{
	struct error error = {0};

	if (pg_ready(dashboard->pg, &error) && pg_query(dashboard->pg, out, &error, sql, count, params)) {
		log_fault_over(&dashboard->database_fault, "database.away");
		return true;
	}
	api_reply_error(dashboard, request, &error);
	return false;
}

bool api_query_again(struct dashboard *dashboard, struct http_request *request, struct pg_result **out,
		     const char *sql, size_t count, const char *const *params)
{
	struct error error = {0};

	if (pg_ready(dashboard->pg, &error) && pg_query(dashboard->pg, out, &error, sql, count, params)) {
		log_fault_over(&dashboard->database_fault, "database.away");
		return true;
	}
	const struct auth *auth = auth_of(request);

	// A new connection is in nobody's scope.
	if (error.kind == ERROR_UNREACHABLE &&
	    (!auth || scope_enter(dashboard->pg, auth->user, &auth->scope, &error)))
		return api_query(dashboard, request, out, sql, count, params);
	api_reply_error(dashboard, request, &error);
	return false;
}

bool api_audit(struct dashboard *dashboard, const struct http_request *request, const char *actor, const char *action,
	       const char *target, const char *detail, struct error *error)
{
	dashboard->audited = request;
	return PG_QUERY(dashboard->pg, NULL, error, AUDIT_SQL, actor, action, target, http_peer(request),
			http_request_id(request), detail);
}

bool api_parse_int(const char *text, int64_t *out)
{
	char *end = NULL;

	if (text[*text == '-'] < '0' || text[*text == '-'] > '9')
		return false;
	errno = 0;
	long long value = strtoll(text, &end, 10);

	if (errno != 0 || *end != '\0')
		return false;
	*out = value;
	return true;
}

const char *api_text(const struct http_request *request, const char *name)
{
	const char *text = http_query(request, name);

	return text && *text ? text : NULL;
}

bool api_int(struct http_request *request, const char *name, int64_t min, int64_t max, int64_t *out)
{
	const char *text = api_text(request, name);
	int64_t value = 0;

	if (!text)
		return true;
	if (!api_parse_int(text, &value) || value < min || value > max) {
		char detail[160];

		(void)snprintf(detail, sizeof(detail), "\"%s\" must be an integer from %lld to %lld.", name,
			       (long long)min, (long long)max);
		http_reply_problem(request, 400, detail);
		return false;
	}
	*out = value;
	return true;
}

bool api_choice(struct http_request *request, const char *name, const char *const *choices)
{
	const char *text = api_text(request, name);
	auto_buf struct buf detail;

	buf_init(&detail, 512);
	buf_addf(&detail, "\"%s\" must be one of", name);
	for (size_t i = 0; choices[i]; i++) {
		if (!text || strcmp(text, choices[i]) == 0)
			return true;
		buf_addf(&detail, "%s %s", i > 0 ? "," : "", choices[i]);
	}
	buf_add_str(&detail, ".");
	http_reply_problem(request, 400, buf_str(&detail));
	return false;
}

bool api_limit(struct http_request *request, int64_t *limit)
{
	*limit = API_LIMIT_DEFAULT;
	return api_int(request, "limit", 1, API_LIMIT_MAX, limit);
}

bool api_split_cursor(char *cursor, char **parts, size_t count)
{
	char *rest = cursor;

	for (size_t i = 0; i < count; i++) {
		parts[i] = strsep(&rest, ".");
		if (!parts[i] || parts[i][0] == '\0')
			return false;
	}
	return rest == NULL;
}

bool api_bad_cursor(struct http_request *request)
{
	http_reply_problem(request, 400, "\"after\" must be the \"next\" of an earlier answer to the same question; "
					 "leave it out to start at the beginning.");
	return false;
}

bool api_limit_text(struct http_request *request, int64_t *limit, char text[API_LIMIT_BYTES])
{
	if (!api_limit(request, limit))
		return false;
	(void)snprintf(text, API_LIMIT_BYTES, "%lld", (long long)*limit);
	return true;
}

bool api_numbered_page(struct http_request *request, const char *after, int64_t *limit, char text[API_LIMIT_BYTES])
{
	int64_t ignored = 0;

	if (!api_limit_text(request, limit, text))
		return false;
	return !after || api_parse_int(after, &ignored) || api_bad_cursor(request);
}

const char *api_number_of_path(struct http_request *request, const char *missing)
{
	const char *id = http_param(request, "id");
	int64_t ignored = 0;

	if (api_parse_int(id, &ignored))
		return id;
	http_reply_problem(request, 404, missing);
	return NULL;
}

static bool is_tag(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == ',' || text[i] == 0x7f)
			return false;
	}
	return length >= 1 && length <= API_TAG_BYTES_MAX;
}

bool api_tag_list(const struct json *body, const char *name, struct buf *out, struct error *error)
{
	const struct json *tags = json_member(body, name);
	size_t count = tags && json_type(tags) == JSON_ARRAY ? json_array_length(tags) : 0;
	bool sound = !tags || (json_type(tags) == JSON_ARRAY && count <= API_TAGS_MAX);

	buf_init(out, (size_t)API_TAGS_MAX * (6 * API_TAG_BYTES_MAX + 3) + 3);
	buf_add_str(out, "[");
	for (size_t i = 0; sound && i < count; i++) {
		const char *tag = "";

		sound = json_as_string(json_array_at(tags, i), &tag) && is_tag(tag);
		buf_add_str(out, i > 0 ? "," : "");
		json_quote(out, tag);
	}
	buf_add_str(out, "]");
	return sound || error_set(error, ERROR_INVALID,
				  "\"%s\" must be an array of at most %d texts of 1 to %d bytes without commas.",
				  name, API_TAGS_MAX, API_TAG_BYTES_MAX);
}

bool api_tags(const struct json *body, struct buf *out, struct error *error)
{
	return api_tag_list(body, "tags", out, error);
}

void api_reply_text(struct http_request *request, int status, const char *json)
{
	http_reply(request, status, "application/json", json, strlen(json));
}

void api_reply_page(struct http_request *request, const struct pg_result *rows, int64_t limit)
{
	auto_buf struct buf body;
	size_t count = pg_rows(rows), shown = count > (size_t)limit ? (size_t)limit : count;

	buf_init(&body, API_ANSWER_MAX_BYTES);
	buf_add_str(&body, "{\"items\":[");
	for (size_t i = 0; i < shown; i++) {
		if (i > 0)
			buf_add_str(&body, ",");
		buf_add_str(&body, pg_text(rows, i, 0));
	}
	buf_add_str(&body, "],\"next\":");
	if (count > shown)
		json_quote(&body, pg_text(rows, shown - 1, 1));
	else
		buf_add_str(&body, "null");
	buf_add_str(&body, "}");
	if (body.overflowed)
		http_reply_problem(request, 413, "The answer is too large; ask for fewer with \"limit\".");
	else
		api_reply_text(request, 200, buf_str(&body));
}

void api_reply_row(struct http_request *request, const struct pg_result *rows, const char *missing_detail)
{
	if (pg_rows(rows) == 0)
		http_reply_problem(request, 404, missing_detail);
	else
		api_reply_text(request, 200, pg_text(rows, 0, 0));
}
