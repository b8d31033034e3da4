#include "dashboard/alert_rules.h"

#include "common/alert_kind.h"
#include "common/alert_sql.h"
#include "common/alert_words.h"
#include "dashboard/auth.h"
#include "dashboard/change.h"
#include "dashboard/targets.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 100
#define CLEAR_MAX_S 86400
#define STATEMENT_MAX_BYTES 131072
#define WORDS_MAX_BYTES 1024

#define RULE                                                                                                           \
	"jsonb_build_object('id', r.id, 'name', r.name, 'kind', r.kind, 'params', r.params, 'query', r.query,"         \
	" 'severity', r.severity, 'enabled', r.enabled, 'clear_s', r.clear_s, 'builtin', r.builtin, 'error', r.error," \
	" 'created_by', r.created_by, 'created_at', r.created_at, 'changed_at', r.changed_at)"

static const char LIST_SQL[] = "select " RULE " || jsonb_build_object('active', (select count(*) from alert a where"
			       " a.rule = r.id and a.state = 'active')), r.id from alert_rule r"
			       " where ($1::bigint is null or r.id > $1) order by r.id limit $2::integer + 1";
static const char GET_SQL[] = "select " RULE ", r.kind from alert_rule r where r.id = $1";
static const char TENANT_SQL[] = "select current_tenant() = 'default'";
static const char CREATE_SQL[] =
	"insert into alert_rule as r (name, kind, params, query, severity, enabled, clear_s, created_by)"
	" values ($1, $2, $3::jsonb, $4, $5, $6, $7, $8) returning " RULE;
// What is null stays as it is.
static const char CHANGE_SQL[] =
	"update alert_rule r set name = coalesce($2, name), params = coalesce($3::jsonb, params),"
	" query = coalesce($4, query), severity = coalesce($5, severity), enabled = coalesce($6::boolean, enabled),"
	" clear_s = coalesce($7::integer, clear_s), changed_at = now() where id = $1 returning " RULE;
static const char DELETE_SQL[] = "delete from alert_rule r where id = $1 returning " RULE;

static const char missing[] = "There is no alert rule with this id; GET /api/v1/alert-rules lists them.";
static const char taken[] = "There is a rule of this name already; take another.";

// As it stands in the body; NULL where it does not.
struct rule_body {
	const char *name, *query, *severity, *enabled;
	struct json *params; // whole
	char clear_s[24];
	bool clears;
};

static void rule_body_done(struct rule_body *body)
{
	json_free(body->params);
}

// ---- answering ----

// The rule of a row, with what it looks for in words.
static struct json *with_words(const char *row)
{
	struct json *rule = json_parse(row, strlen(row), NULL);
	const char *name = "";
	const struct alert_kind *kind = json_member_string(rule, "kind", &name) ? alert_kind_find(name) : NULL;
	auto_buf struct buf words;

	buf_init(&words, WORDS_MAX_BYTES);
	if (kind) {
		alert_words(kind, json_member(rule, "params"), &words);
		json_set_string(rule, "looks_for", buf_str(&words));
	}
	return rule;
}

static void reply_rule(struct http_request *request, int status, const struct pg_result *rows)
{
	if (pg_rows(rows) == 0)
		http_reply_problem(request, 404, missing);
	else
		http_reply_json(request, status, with_words(pg_text(rows, 0, 0)));
}

// ---- reading ----

void alert_rules_kinds(struct http_request *request, void *user)
{
	struct json *answer = json_new_object();
	struct json *items = json_new_array();
	size_t count = 0;
	const struct alert_kind *table = alert_kind_table(&count);

	for (size_t i = 0; i < count; i++)
		json_append(items, alert_kind_describe(&table[i]));
	json_set(answer, "items", items);
	http_reply_json(request, 200, answer);
}

void alert_rules_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *after = api_text(request, "after");
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!api_numbered_page(request, after, &limit, limit_text))
		return;

	const char *const params[] = {after, limit_text};

	if (!api_query_again(user, request, &rows, LIST_SQL, 2, params))
		return;
	size_t count = pg_rows(rows), shown = count > (size_t)limit ? (size_t)limit : count;
	struct json *answer = json_new_object(), *items = json_new_array();

	for (size_t i = 0; i < shown; i++)
		json_append(items, with_words(pg_text(rows, i, 0)));
	json_set(answer, "items", items);
	json_set_string(answer, "next", count > shown ? pg_text(rows, shown - 1, 1) : NULL);
	http_reply_json(request, 200, answer);
}

void alert_rules_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_number_of_path(request, missing)};

	if (params[0] && api_query_again(user, request, &rows, GET_SQL, 1, params))
		reply_rule(request, 200, rows);
}

// ---- the body ----

static bool read_texts(const struct json *json, struct rule_body *body, struct error *error)
{
	if (json_member(json, "name") && (!json_member_string(json, "name", &body->name) || body->name[0] == '\0' ||
					  strlen(body->name) > NAME_MAX_BYTES || strpbrk(body->name, "\r\n\t")))
		return error_set(error, ERROR_INVALID, "\"name\" must be a text of 1 to %d bytes in one line.",
				 NAME_MAX_BYTES);
	if (json_member(json, "query") && !json_member_string(json, "query", &body->query))
		return error_set(error, ERROR_INVALID, "\"query\" must be a text; \"\" is every device.");
	if (json_member(json, "severity") &&
	    (!json_member_string(json, "severity", &body->severity) || alert_severity_rank(body->severity) == 0))
		return error_set(error, ERROR_INVALID, "\"severity\" must be \"info\", \"warning\" or \"critical\".");
	return true;
}

static bool read_body(const struct json *json, const struct alert_kind *kind, bool whole, struct rule_body *body,
		      struct error *error)
{
	int64_t clear_s = 0;
	bool enabled = true;

	if (!read_texts(json, body, error))
		return false;
	if (json_member(json, "enabled") && !json_member_bool(json, "enabled", &enabled))
		return error_set(error, ERROR_INVALID, "\"enabled\" must be true or false.");
	if (json_member(json, "enabled"))
		body->enabled = enabled ? "t" : "f";
	if (json_member(json, "clear_s") &&
	    (!json_member_int(json, "clear_s", &clear_s) || clear_s < 0 || clear_s > CLEAR_MAX_S))
		return error_set(error, ERROR_INVALID, "\"clear_s\" must be an integer from 0 to %d.", CLEAR_MAX_S);
	body->clears = json_member(json, "clear_s");
	(void)snprintf(body->clear_s, sizeof(body->clear_s), "%" PRId64, clear_s);
	if (whole && !body->name)
		return error_set(error, ERROR_INVALID, "\"name\" is missing.");
	if (!whole && !json_member(json, "params"))
		return true;
	return alert_kind_check(kind, json_member(json, "params"), &body->params, error);
}

// What is about the installation is not for every tenant. False: answered.
static bool check_tenant(struct dashboard *dashboard, struct http_request *request, const struct alert_kind *kind)
{
	auto_pg_result struct pg_result *row = NULL;

	if (kind->object != ALERT_INSTALLATION)
		return true;
	if (!api_query(dashboard, request, &row, TENANT_SQL, 0, NULL))
		return false;
	if (pg_bool(row, 0, 0))
		return true;
	http_reply_problem(request, 422, "Rules of this kind are about the installation, not about a tenant.");
	return false;
}

static bool check_query(struct dashboard *dashboard, struct http_request *request, const struct alert_kind *kind,
			const char *text)
{
	auto_query struct query query = {0};

	if (!text || !*text)
		return true;
	if (kind->object == ALERT_DEVICE)
		return targets_compile(dashboard, request, text, 1, &query);
	http_reply_problem(request, 422, "Rules of this kind are about no device: \"query\" must be empty.");
	return false;
}

static void reply(struct dashboard *dashboard, struct http_request *request, const struct change *change, int status)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (change_make(dashboard, request, change, &rows))
		reply_rule(request, status, rows);
}

// ---- what a rule would hit ----

static void reply_preview(struct dashboard *dashboard, struct http_request *request, const struct alert_kind *kind,
			  struct json *rule, const char *text)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_query struct query query = {0};
	auto_buf struct buf sql, words;
	const char *metric = NULL, *params[ALERT_PREVIEW_PARAMS + QUERY_PARAMS_MAX] = {json_text(rule)};

	(void)json_member_string(rule, "metric", &metric);
	buf_init(&sql, STATEMENT_MAX_BYTES);
	buf_init(&words, WORDS_MAX_BYTES);
	if (!targets_compile(dashboard, request, text, ALERT_PREVIEW_PARAMS + 1, &query))
		return;
	alert_sql_preview(alert_sql_find(kind->name), metric, &query, &sql);
	for (size_t i = 0; i < query.count; i++)
		params[ALERT_PREVIEW_PARAMS + i] = query.params[i];
	if (!api_query(dashboard, request, &rows, buf_str(&sql), ALERT_PREVIEW_PARAMS + query.count, params))
		return;
	struct json *answer = json_parse(pg_text(rows, 0, 0), strlen(pg_text(rows, 0, 0)), NULL);

	alert_words(kind, rule, &words);
	json_set_string(answer, "looks_for", buf_str(&words));
	http_reply_json(request, 200, answer);
}

// {"kind","params","query"} of a rule that need not be there.
void alert_rules_preview(struct http_request *request, void *user)
{
	auto_json struct json *json = http_body_json(request);
	auto_json struct json *params = NULL;
	const char *name = "", *query = "";
	struct error error = {0};

	if (!json)
		return;
	const struct alert_kind *kind = json_member_string(json, "kind", &name) ? alert_kind_find(name) : NULL;

	if (!kind || kind->object != ALERT_DEVICE)
		http_reply_problem(request, 422, "\"kind\" must be one that is about devices.");
	else if (json_member(json, "query") && !json_member_string(json, "query", &query))
		http_reply_problem(request, 422, "\"query\" must be a text; \"\" is every device.");
	else if (!alert_kind_check(kind, json_member(json, "params"), &params, &error))
		http_reply_problem(request, 422, error.what);
	else
		reply_preview(user, request, kind, params, query);
}

// ---- changing ----

void alert_rules_create(struct http_request *request, void *user)
{
	auto_json struct json *json = http_body_json(request);
	struct rule_body body cleanup(rule_body_done) = {.query = "", .severity = "warning", .enabled = "t"};
	const char *name = "";
	struct error error = {0};

	if (!json)
		return;
	const struct alert_kind *kind = json_member_string(json, "kind", &name) ? alert_kind_find(name) : NULL;

	if (!kind) {
		http_reply_problem(request, 422,
				   "\"kind\" must be one of those that GET /api/v1/alert-rules/kinds lists.");
		return;
	}
	if (!read_body(json, kind, true, &body, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	if (!check_tenant(user, request, kind) || !check_query(user, request, kind, body.query))
		return;
	const char *const params[] = {body.name,
				      kind->name,
				      json_text(body.params),
				      body.query,
				      body.severity,
				      body.enabled,
				      body.clears ? body.clear_s : "60",
				      auth_of(request)->user};

	reply(user, request,
	      &(const struct change){.sql = CREATE_SQL,
				     .count = 8,
				     .params = params,
				     .action = "alert_rule.create",
				     .target = body.name,
				     .detail = json_text(json),
				     .missing = missing,
				     .taken = taken},
	      201);
}

void alert_rules_change(struct http_request *request, void *user)
{
	auto_json struct json *json = http_body_json(request);
	auto_pg_result struct pg_result *row = NULL;
	struct rule_body body cleanup(rule_body_done) = {0};
	struct error error = {0};
	char target[48];

	if (!json)
		return;
	const char *const params[] = {api_number_of_path(request, missing)};

	if (!params[0] || !api_query(user, request, &row, GET_SQL, 1, params))
		return;
	const struct alert_kind *kind = pg_rows(row) > 0 ? alert_kind_find(pg_text(row, 0, 1)) : NULL;

	if (!kind) {
		http_reply_problem(request, 404, missing);
		return;
	}
	if (!read_body(json, kind, false, &body, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	if (!check_query(user, request, kind, body.query))
		return;
	(void)snprintf(target, sizeof(target), "alert rule %.24s", params[0]);

	const char *const values[] = {params[0],
				      body.name,
				      body.params ? json_text(body.params) : NULL,
				      body.query,
				      body.severity,
				      body.enabled,
				      body.clears ? body.clear_s : NULL};

	reply(user, request,
	      &(const struct change){.sql = CHANGE_SQL,
				     .count = 7,
				     .params = values,
				     .action = "alert_rule.change",
				     .target = target,
				     .detail = json_text(json),
				     .missing = missing,
				     .taken = taken},
	      200);
}

void alert_rules_delete(struct http_request *request, void *user)
{
	const char *const params[] = {api_number_of_path(request, missing)};
	char target[48];

	if (!params[0])
		return;
	(void)snprintf(target, sizeof(target), "alert rule %.24s", params[0]);
	reply(user, request,
	      &(const struct change){.sql = DELETE_SQL,
				     .count = 1,
				     .params = params,
				     .action = "alert_rule.delete",
				     .target = target,
				     .detail = "{}",
				     .missing = missing},
	      200);
}
