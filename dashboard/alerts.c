#include "dashboard/alerts.h"

#include "common/alert_kind.h"
#include "dashboard/auth.h"
#include "dashboard/change.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMMENT_MAX 2000
#define PERSON_MAX 64
#define TOGETHER_MAX 500 // alerts of one request: as many as a list shows
#define IDS_MAX_BYTES (TOGETHER_MAX * 21 + 2)

#define ALERT                                                                                                          \
	"jsonb_build_object('id', a.id, 'rule', a.rule, 'rule_name', a.rule_name, 'kind', a.kind, 'severity',"         \
	" a.severity, 'object', a.object, 'device', a.device, 'title', a.title, 'value', a.value, 'state', a.state,"   \
	" 'since', a.since, 'raised_at', a.raised_at, 'cleared_at', a.cleared_at, 'cleared_why', a.cleared_why,"       \
	" 'cleared_by', a.cleared_by, 'acknowledged_at', a.acknowledged_at, 'acknowledged_by', a.acknowledged_by,"     \
	" 'assigned_to', a.assigned_to, 'silence', a.silence, 'flaps', a.flaps, 'changed_at', a.changed_at)"

// $1 state, $2 severity, $3 acknowledged, $4 device, $5 rule, $6 kind, $7 the last id seen, $8 limit. Newest first.
static const char LIST_SQL[] =
	"select " ALERT ", a.id from alert a where ($1::text is null or a.state = $1)"
	" and ($2::text is null or a.severity = $2) and ($3::boolean is null or (a.acknowledged_at is not null) = $3)"
	" and ($4::text is null or a.device = $4) and ($5::bigint is null or a.rule = $5)"
	" and ($6::text is null or a.kind = $6) and ($7::bigint is null or a.id < $7)"
	" order by a.id desc limit $8::integer + 1";
// Of a device that went to another tenant, the alert stayed: it is told there, to those who see all of it.
const char alerts_changed_sql[] =
	"select a.id, (extract(epoch from a.changed_at) * 1000000)::bigint, " ALERT ", a.device, a.tenant,"
	" (select string_agg(m.group_name, ',') from device d join device_group_member m on m.device = d.device"
	" and m.tenant = d.tenant where d.device = a.device and d.tenant = a.tenant) from alert a"
	" where a.changed_at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond'"
	" and ($3::text[] is null or a.device = any ($3::text[]))"
	" order by a.changed_at desc limit $2::integer";
static const char SUMMARY_SQL[] =
	"select jsonb_build_object('active', coalesce(sum(n), 0), 'unacknowledged', coalesce(sum(n) filter (where "
	"new), 0),"
	" 'critical', coalesce(sum(n) filter (where severity = 'critical'), 0),"
	" 'warning', coalesce(sum(n) filter (where severity = 'warning'), 0),"
	" 'info', coalesce(sum(n) filter (where severity = 'info'), 0)) from (select severity, acknowledged_at is null "
	"and"
	" silence is null as new, count(*) as n from alert where state = 'active' group by 1, 2) x";
static const char GET_SQL[] =
	"select " ALERT
	" || jsonb_build_object('events', (select coalesce(jsonb_agg(jsonb_build_object('at', e.at, 'type',"
	" e.type, 'actor', e.actor, 'text', e.text) order by e.id), '[]') from (select * from alert_event where"
	" alert = a.id order by id desc limit 500) e)) from alert a where a.id = $1";

#define EVENT(type, text) " noted as (insert into alert_event (alert, type, actor, text) select id, " type ", $2, " text
static const char ACKNOWLEDGE_SQL[] =
	"with a as (update alert set acknowledged_at = case when $3::boolean then coalesce(acknowledged_at, now()) end,"
	" acknowledged_by = case when $3::boolean then case when acknowledged_at is null then $2 else acknowledged_by "
	"end"
	" else '' end, changed_at = now() where id = $1 returning *)," EVENT(
		"case when $3::boolean then 'acknowledged' else 'unacknowledged' end", "$4 from a)") " select " ALERT
												     " from a";
// $1 ids, of which those that are not the asker's are none.
static const char ACKNOWLEDGE_MANY_SQL[] =
	"with a as (update alert set acknowledged_at = case when $3::boolean then coalesce(acknowledged_at, now()) end,"
	" acknowledged_by = case when not $3::boolean then '' when acknowledged_at is null then $2 else acknowledged_by"
	" end, changed_at = now() where id = any ($1::bigint[]) and (acknowledged_at is null) = $3::boolean returning "
	"id)," EVENT("case when $3::boolean then 'acknowledged' else 'unacknowledged' end",
		     "$4 from a)") " select jsonb_build_object('changed', (select count(*) from a))";
static const char ASSIGN_SQL[] = "with a as (update alert set assigned_to = $3, changed_at = now() where id = $1"
				 " returning *)," EVENT("'assigned'", "$3 from a)") " select " ALERT " from a";
static const char COMMENT_SQL[] = "with a as (update alert set changed_at = now() where id = $1 returning *)," EVENT(
	"'comment'", "$3 from a)") " select " ALERT " from a";
static const char CLEAR_SQL[] =
	"with a as (update alert set state = 'cleared', cleared_at = now(), cleared_by = $2, cleared_why = $3,"
	" changed_at = now() where id = $1 and state = 'active' returning *)," EVENT(
		"'cleared'", "$3 from a)") " select " ALERT " from a";

static const char missing[] = "There is no alert with this id; GET /api/v1/alerts lists them.";

// ---- reading ----

static bool check_choice(struct http_request *request, const char *name, const char *const *choices)
{
	const char *text = api_text(request, name);
	char detail[160];

	for (size_t i = 0; text && choices[i]; i++) {
		if (strcmp(text, choices[i]) == 0)
			return true;
	}
	if (!text)
		return true;
	(void)snprintf(detail, sizeof(detail), "\"%s\" must be one of %s, %s%s%s.", name, choices[0], choices[1],
		       choices[2] ? ", " : "", choices[2] ? choices[2] : "");
	http_reply_problem(request, 400, detail);
	return false;
}

void alerts_list(struct http_request *request, void *user)
{
	static const char *const states[] = {"active", "cleared", NULL};
	static const char *const severities[] = {"info", "warning", "critical", NULL};
	static const char *const answers[] = {"yes", "no", NULL};
	auto_pg_result struct pg_result *rows = NULL;
	const char *after = api_text(request, "after"), *rule = api_text(request, "rule");
	int64_t limit = 0, ignored = 0;
	char limit_text[24];

	if (!api_limit(request, &limit) || !check_choice(request, "state", states) ||
	    !check_choice(request, "severity", severities) || !check_choice(request, "acknowledged", answers))
		return;
	if (after && !api_parse_int(after, &ignored)) {
		(void)api_bad_cursor(request);
		return;
	}
	if (rule && !api_parse_int(rule, &ignored)) {
		http_reply_problem(request, 400, "\"rule\" must be the id of a rule.");
		return;
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);

	const char *const params[] = {api_text(request, "state"),
				      api_text(request, "severity"),
				      api_text(request, "acknowledged"),
				      api_text(request, "device"),
				      rule,
				      api_text(request, "kind"),
				      after,
				      limit_text};

	if (api_query_again(user, request, &rows, LIST_SQL, 8, params))
		api_reply_page(request, rows, limit);
}

void alerts_summary(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (api_query_again(user, request, &rows, SUMMARY_SQL, 0, NULL))
		api_reply_row(request, rows, missing);
}

void alerts_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_number_of_path(request, missing)};

	if (params[0] && api_query_again(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows, missing);
}

// ---- what people do ----

// A text of the body, "" where it may be left out; answers 422 itself.
static bool text_of(struct http_request *request, const struct json *body, const char *name, size_t min, size_t max,
		    const char **out)
{
	const struct json *value = json_member(body, name);
	char detail[160];

	*out = "";
	if ((!value || json_type(value) == JSON_NULL || json_as_string(value, out)) && strlen(*out) >= min &&
	    strlen(*out) <= max)
		return true;
	(void)snprintf(detail, sizeof(detail), "\"%s\" must be a text of %zu to %zu bytes.", name, min, max);
	http_reply_problem(request, 422, detail);
	return false;
}

static void act(struct dashboard *dashboard, struct http_request *request, const char *sql, const char *action,
		const char *third, const char *fourth)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_json struct json *detail = json_new_object();
	const char *id = api_number_of_path(request, missing);
	char target[48];

	if (!id)
		return;
	const char *const params[] = {id, auth_of(request)->user, third, fourth};

	json_set_string(detail, "said", fourth ? fourth : third);
	(void)snprintf(target, sizeof(target), "alert %.30s", id);
	const struct change change = {
		.sql = sql,
		.count = fourth ? 4 : 3,
		.params = params,
		.action = action,
		.target = target,
		.detail = json_text(detail),
		.missing = missing,
	};

	if (change_make(dashboard, request, &change, &rows))
		api_reply_row(request, rows, missing);
}

// {"acknowledged":true,"comment":".."}
void alerts_acknowledge(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	bool on = true;
	const char *comment = "";

	if (!body)
		return;
	if (json_member(body, "acknowledged") && !json_member_bool(body, "acknowledged", &on)) {
		http_reply_problem(request, 422, "\"acknowledged\" must be true or false.");
		return;
	}
	if (text_of(request, body, "comment", 0, COMMENT_MAX, &comment))
		act(user, request, ACKNOWLEDGE_SQL, on ? "alert.acknowledge" : "alert.unacknowledge", on ? "t" : "f",
		    comment);
}

static bool read_ids(const struct json *list, struct buf *out)
{
	size_t count = list && json_type(list) == JSON_ARRAY ? json_array_length(list) : 0;
	bool ok = count >= 1 && count <= TOGETHER_MAX;

	for (size_t i = 0; ok && i < count; i++) {
		int64_t id = 0;

		ok = json_as_int(json_array_at(list, i), &id);
		(void)buf_addf(out, "%c%" PRId64, i > 0 ? ',' : '{', id);
	}
	return ok && buf_add_str(out, "}");
}

// {"ids":[7,8],"acknowledged":true,"comment":".."}: {"changed":2}
void alerts_acknowledge_many(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf ids;
	bool on = true;
	const char *comment = "";

	buf_init(&ids, IDS_MAX_BYTES);
	if (!body)
		return;
	if (!read_ids(json_member(body, "ids"), &ids) ||
	    (json_member(body, "acknowledged") && !json_member_bool(body, "acknowledged", &on))) {
		http_reply_problem(request, 422,
				   "\"ids\" must be 1 to 500 ids of alerts, \"acknowledged\" true or false.");
		return;
	}
	if (!text_of(request, body, "comment", 0, COMMENT_MAX, &comment))
		return;
	const char *const params[] = {buf_str(&ids), auth_of(request)->user, on ? "t" : "f", comment};
	const struct change change = {
		.sql = ACKNOWLEDGE_MANY_SQL,
		.count = 4,
		.params = params,
		.action = on ? "alert.acknowledge" : "alert.unacknowledge",
		.target = "alerts",
		.detail = json_text(body),
		.missing = missing,
	};

	if (change_make(user, request, &change, &rows))
		api_reply_row(request, rows, missing);
}

// {"to":"ada"}; without, or null: to nobody.
void alerts_assign(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	const char *to = "";

	if (body && text_of(request, body, "to", 0, PERSON_MAX, &to))
		act(user, request, ASSIGN_SQL, "alert.assign", to, NULL);
}

// {"text":".."}
void alerts_comment(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	const char *text = "";

	if (body && text_of(request, body, "text", 1, COMMENT_MAX, &text))
		act(user, request, COMMENT_SQL, "alert.comment", text, NULL);
}

// {"reason":".."}: only what does not go away by itself.
void alerts_clear(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *row = NULL;
	const char *reason = "";

	if (!body || !text_of(request, body, "reason", 0, COMMENT_MAX, &reason))
		return;
	const char *const params[] = {api_number_of_path(request, missing)};

	if (!params[0] || !api_query(user, request, &row, "select kind, state from alert where id = $1", 1, params))
		return;
	const struct alert_kind *kind = pg_rows(row) > 0 ? alert_kind_find(pg_text(row, 0, 0)) : NULL;

	if (pg_rows(row) == 0)
		http_reply_problem(request, 404, missing);
	else if (strcmp(pg_text(row, 0, 1), "active") != 0)
		http_reply_problem(request, 409, "This alert is cleared already.");
	else if (!kind || !kind->by_hand)
		http_reply_problem(request, 409,
				   "This alert is cleared by itself when what it is about is over; "
				   "acknowledge it, or silence it for a while.");
	else
		act(user, request, CLEAR_SQL, "alert.clear", reason, NULL);
}
