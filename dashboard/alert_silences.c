#include "dashboard/alert_silences.h"

#include "common/clock.h"
#include "dashboard/auth.h"
#include "dashboard/change.h"
#include "dashboard/targets.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REASON_MAX 400
#define LENGTH_MAX_S (INT64_C(5) * 366 * 86400) // a weekly window may last

#define SILENCE                                                                                                        \
	"jsonb_build_object('id', s.id, 'rule', s.rule, 'query', s.query, 'from', s.from_at, 'until', s.until_at,"     \
	" 'week', s.week, 'time_zone', s.time_zone, 'reason', s.reason, 'created_by', s.created_by, 'created_at',"     \
	" s.created_at, 'ended_by', s.ended_by, 'state', case when s.until_at <= now() then 'over' when"               \
	" s.from_at > now() then 'coming' when silence_counts(s) then 'on' else 'waiting' end)"

// Those that are not over first.
static const char LIST_SQL[] = "select " SILENCE ", s.id from alert_silence s where ($1::bigint is null or s.id < $1)"
			       " and ($2::boolean or s.until_at > now()) order by s.id desc limit $3::integer + 1";
static const char CREATE_SQL[] =
	"insert into alert_silence as s (rule, query, from_at, until_at, time_zone, week, reason, created_by)"
	" values ($1, $2, coalesce($3::timestamptz, now()), $4, $5, $6::jsonb, $7, $8) returning " SILENCE;
static const char END_SQL[] = "update alert_silence s set until_at = greatest(now(), s.from_at + interval '1 second'),"
			      " ended_by = $2 where id = $1 and until_at > now() returning " SILENCE;
static const char CHECK_SQL[] = "select is_time_zone($1), $2::jsonb is null or is_maintenance_window($2::jsonb),"
				" $3::bigint is null or exists (select from alert_rule where id = $3)";

static const char missing[] = "There is no such silence, or it is over; GET /api/v1/silences lists them.";

struct silence_body {
	const char *query, *zone, *reason, *week;
	char rule[24], from[CLOCK_RFC3339_BYTES], until[CLOCK_RFC3339_BYTES];
};

void alert_silences_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *after = api_text(request, "after"), *all = api_text(request, "all");
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!api_numbered_page(request, after, &limit, limit_text))
		return;

	const char *const params[] = {after, all && strcmp(all, "yes") == 0 ? "t" : "f", limit_text};

	if (api_query_again(user, request, &rows, LIST_SQL, 3, params))
		api_reply_page(request, rows, limit);
}

static bool read_time(const struct json *json, const char *name, int64_t *out, struct error *error)
{
	const char *text = "";

	return !json_member(json, name) ||
	       (json_member_string(json, name, &text) && clock_parse_rfc3339(text, strlen(text), out)) ||
	       error_set(error, ERROR_INVALID, "\"%s\" must be a time as 2026-01-31T22:00:00+01:00.", name);
}

static bool read_times(const struct json *json, struct silence_body *body, struct error *error)
{
	int64_t now_ms = clock_wall_ms(), from_ms = now_ms, until_ms = 0, for_s = 0;

	if (!read_time(json, "from", &from_ms, error) || !read_time(json, "until", &until_ms, error))
		return false;
	if (json_member(json, "for_s")) {
		if (!json_member_int(json, "for_s", &for_s) || for_s < 1 || for_s > LENGTH_MAX_S)
			return error_set(error, ERROR_INVALID, "\"for_s\" must be an integer from 1 to %" PRId64 ".",
					 LENGTH_MAX_S);
		until_ms = from_ms + for_s * 1000;
	}
	if (until_ms <= from_ms || until_ms <= now_ms || until_ms - from_ms > LENGTH_MAX_S * 1000)
		return error_set(error, ERROR_INVALID,
				 "\"until\" (or \"for_s\") must be after \"from\" and now, and within 5 years.");
	clock_format_rfc3339(from_ms, body->from);
	clock_format_rfc3339(until_ms, body->until);
	return true;
}

static bool read_body(const struct json *json, struct json **week, struct silence_body *body, struct error *error)
{
	const struct json *window = json_member(json, "week");
	int64_t rule = 0;

	body->query = body->reason = "";
	body->zone = "UTC";
	if (json_member(json, "rule") && json_type(json_member(json, "rule")) != JSON_NULL) {
		if (!json_member_int(json, "rule", &rule))
			return error_set(error, ERROR_INVALID,
					 "\"rule\" must be the id of a rule; without, all rules.");
		(void)snprintf(body->rule, sizeof(body->rule), "%" PRId64, rule);
	}
	if ((json_member(json, "query") && !json_member_string(json, "query", &body->query)) ||
	    (json_member(json, "time_zone") && !json_member_string(json, "time_zone", &body->zone)) ||
	    strlen(body->zone) > 63)
		return error_set(error, ERROR_INVALID, "\"query\" and \"time_zone\" must be texts.");
	if (!json_member_string(json, "reason", &body->reason) || body->reason[0] == '\0' ||
	    strlen(body->reason) > REASON_MAX)
		return error_set(error, ERROR_INVALID, "\"reason\" must say why, in 1 to %d bytes.", REASON_MAX);
	if (window && json_type(window) != JSON_NULL) {
		*week = json_copy(window);
		body->week = json_text(*week);
	}
	return read_times(json, body, error);
}

// False: answered.
static bool check_body(struct dashboard *dashboard, struct http_request *request, const struct silence_body *body)
{
	auto_pg_result struct pg_result *row = NULL;
	auto_query struct query query = {0};
	const char *const params[] = {body->zone, body->week, body->rule[0] ? body->rule : NULL};
	const char *wrong = NULL;

	if (!targets_compile(dashboard, request, body->query, 1, &query) ||
	    !api_query(dashboard, request, &row, CHECK_SQL, 3, params))
		return false;
	if (!pg_bool(row, 0, 0))
		wrong = "\"time_zone\" must be a name of the tz database, as Europe/Berlin.";
	else if (!pg_bool(row, 0, 1))
		wrong = "\"week\" must be as {\"days\":[6,7],\"from\":\"22:00\",\"to\":\"05:00\"}; 1 is Monday.";
	else if (!pg_bool(row, 0, 2))
		wrong = "There is no alert rule with this id; GET /api/v1/alert-rules lists them.";
	if (wrong)
		http_reply_problem(request, 422, wrong);
	return !wrong;
}

void alert_silences_create(struct http_request *request, void *user)
{
	auto_json struct json *json = http_body_json(request);
	auto_json struct json *week = NULL;
	auto_pg_result struct pg_result *rows = NULL;
	struct silence_body body = {0};
	struct error error = {0};

	if (!json)
		return;
	if (!read_body(json, &week, &body, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	if (!check_body(user, request, &body))
		return;
	const char *const params[] = {
		body.rule[0] ? body.rule : NULL, body.query, body.from, body.until, body.zone, body.week, body.reason,
		auth_of(request)->user};
	const struct change change = {.sql = CREATE_SQL,
				      .count = 8,
				      .params = params,
				      .action = "silence.create",
				      .target = body.query,
				      .detail = json_text(json),
				      .missing = missing};

	if (change_make(user, request, &change, &rows))
		api_reply_text(request, 201, pg_text(rows, 0, 0));
}

void alert_silences_end(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *id = api_number_of_path(request, missing);
	char target[48];

	if (!id)
		return;
	const char *const params[] = {id, auth_of(request)->user};

	(void)snprintf(target, sizeof(target), "silence %.30s", id);
	const struct change change = {.sql = END_SQL,
				      .count = 2,
				      .params = params,
				      .action = "silence.end",
				      .target = target,
				      .detail = "{}",
				      .missing = missing};

	if (change_make(user, request, &change, &rows))
		api_reply_row(request, rows, missing);
}
