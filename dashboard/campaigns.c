#include "dashboard/campaigns.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/campaign_body.h"
#include "dashboard/change.h"

#include <stdio.h>
#include <string.h>

#define STATEMENT_MAX_BYTES 131072
#define FIRST_PARAM 2 // of the query, behind the listed devices

#define CAMPAIGN                                                                                                       \
	"json_build_object('id', c.id, 'name', c.name, 'action', c.action, 'params', c.params, 'ttl_s', c.ttl_s,"      \
	" 'at', c.not_before, 'in_window', c.in_window,"                                                               \
	" 'query', case when c.devices is null then c.query end, 'listed', cardinality(c.devices),"                    \
	" 'continuous', c.continuous, 'rollout', json_build_object('canary', c.canary, 'success_pct', c.success_pct,"  \
	"  'error_pct', c.error_pct, 'rate_per_min', c.rate_per_min, 'factor', c.factor),"                             \
	" 'state', c.state, 'stage', c.stage, 'reason', c.reason, 'created_by', c.created_by, 'created_at', "          \
	"c.created_at,"                                                                                                \
	" 'approved_by', nullif(c.approved_by, ''), 'approved_at', c.approved_at, 'started_at', c.started_at,"         \
	" 'finished_at', c.finished_at, 'changed_at', c.changed_at, 'request_id', c.request_id, 'progress',"           \
	" json_build_object('total', c.total, 'swept', c.swept, 'waiting', c.total - c.released, 'released', "         \
	"c.released,"                                                                                                  \
	"  'open', c.released - c.succeeded - c.failed - c.rejected - c.expired - c.cancelled,"                        \
	"  'succeeded', c.succeeded, 'failed', c.failed, 'rejected', c.rejected, 'expired', c.expired,"                \
	"  'cancelled', c.cancelled))"

// $1 state, $2 id of the last one seen, $3 limit. Newest first.
static const char LIST_SQL[] =
	"select " CAMPAIGN ", c.id from campaign c where ($1::text is null or c.state = $1)"
	" and ($2::bigint is null or c.id < $2) order by c.id desc limit $3::integer + 1";
const char campaigns_changed_sql[] =
	"select c.id, (extract(epoch from c.changed_at) * 1000000)::bigint, " CAMPAIGN ","
	" null, c.tenant, null from campaign c"
	" where c.changed_at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond' and $3::text[] is null"
	" order by c.changed_at desc limit $2::integer";
static const char GET_SQL[] = "select " CAMPAIGN " from campaign c where c.id = $1";
// $1 campaign, $2 state of the command or "waiting", $3 the last device seen, $4 limit.
static const char TARGETS_SQL[] =
	"select json_build_object('device', t.device, 'state', coalesce(k.state, t.state), 'command', t.command,"
	" 'reason', coalesce(k.reason, ''), 'added_at', t.added_at, 'changed_at', k.changed_at), t.device"
	" from campaign_target t left join command k on k.id = t.command where t.campaign = $1"
	" and ($2::text is null or coalesce(k.state, t.state) = $2) and ($3::text is null or t.device > $3)"
	" order by t.device limit $4::integer + 1";
static const char COUNT_SQL[] =
	"select count(*), count(*) filter (where status in ('online', 'stale')), count(*) filter (where status = "
	"'offline'),"
	" count(*) filter (where status = 'never'), coalesce(cardinality($1::text[]), 0),"
	" to_json((array_agg(device order by device))[1:10]) from (select d.device, " DEVICE_STATUS_SQL " as status"
	" from device d left join device_state s on s.device = d.device where " DEVICE_TARGET_SQL
	" and ($1::text[] is null or d.device = any ($1)) and ((select scope_acting()) is null or exists (select from"
	" device_group_member m where m.device = d.device and m.group_name = any ((select scope_acting())::text[])))"
	" and ";
static const char CREATE_SQL[] =
	"insert into campaign (name, action, params, ttl_s, confirmed, query, devices, continuous, canary, success_pct,"
	" error_pct, rate_per_min, factor, created_by, source, request_id, not_before, in_window) values ($1, $2,"
	" $3::jsonb, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
	" to_timestamp($17::bigint / 1000.0), $18) returning id";
// At most 120 points, however long it went on: each the sums from a time on.
static const char PACE_SQL[] =
	"with span as (select min(at) as first,"
	" greatest(10, ceil(extract(epoch from max(at) - min(at)) / 1190) * 10) as step_s"
	" from campaign_pace where campaign = $1), p as (select date_bin(s.step_s * interval '1 second', p.at,"
	" s.first) as at, sum(released) as released, sum(succeeded) as succeeded, sum(errors) as errors,"
	" sum(others) as others from campaign_pace p, span s where campaign = $1 group by 1)"
	" select json_build_object('step_s', (select step_s from span), 'points', coalesce((select json_agg("
	"json_build_array(extract(epoch from at) * 1000, released, succeeded, errors, others) order by at) from p),"
	" '[]'))"
	" from campaign c where c.id = $1";
static const char MOVE_SQL[] = "select move_campaign($1, $2, $3)";

static const char missing[] = "There is no campaign with this id; GET /api/v1/campaigns lists them.";

// ---- reading ----

void campaigns_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	static const char *const states[] = {"draft",	 "pending", "running",	"paused",
					     "aborting", "aborted", "finished", NULL};
	const char *after = api_text(request, "after");
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!api_numbered_page(request, after, &limit, limit_text) || !api_choice(request, "state", states))
		return;

	const char *const params[] = {api_text(request, "state"), after, limit_text};

	if (api_query(user, request, &rows, LIST_SQL, 3, params))
		api_reply_page(request, rows, limit);
}

void campaigns_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_number_of_path(request, missing)};

	if (params[0] && api_query(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows, missing);
}

void campaigns_targets(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *id = api_number_of_path(request, missing);
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!id || !api_limit_text(request, &limit, limit_text))
		return;

	const char *const params[] = {id, api_text(request, "state"), api_text(request, "after"), limit_text};

	if (api_query(user, request, &rows, TARGETS_SQL, 4, params))
		api_reply_page(request, rows, limit);
}

void campaigns_pace(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_number_of_path(request, missing)};

	if (params[0] && api_query(user, request, &rows, PACE_SQL, 1, params))
		api_reply_row(request, rows, missing);
}

// ---- preview ----

// Columns of COUNT_SQL.
enum { ALL, ONLINE, OFFLINE, NEVER, LISTED, SAMPLE };

// Counts whom it is for. False: the request is answered.
static bool count_devices(struct dashboard *dashboard, struct http_request *request, const struct campaign_body *body,
			  struct pg_result **counts)
{
	auto_query struct query query = {0};
	auto_buf struct buf sql;
	const char *params[FIRST_PARAM - 1 + QUERY_PARAMS_MAX] = {
		body->targets.devices.len_bytes > 0 ? buf_str(&body->targets.devices) : NULL};

	buf_init(&sql, STATEMENT_MAX_BYTES);
	if (!targets_compile(dashboard, request, buf_str(&body->targets.query), FIRST_PARAM, &query))
		return false;
	(void)buf_addf(&sql, "%s%s) x", COUNT_SQL, buf_str(&query.sql));
	for (size_t i = 0; i < query.count; i++)
		params[FIRST_PARAM - 1 + i] = query.params[i];
	return api_query(dashboard, request, counts, buf_str(&sql), FIRST_PARAM - 1 + query.count, params);
}

static void add_time(struct json *answer, const char *name, double in_s)
{
	char text[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(clock_wall_ms() + (int64_t)(in_s * 1000), text);
	json_set_string(answer, name, text);
}

static struct json *preview_json(const struct campaign_body *body, const struct pg_result *counts)
{
	struct json *answer = json_new_object();
	int64_t devices = pg_int(counts, 0, ALL), away = pg_int(counts, 0, OFFLINE) + pg_int(counts, 0, NEVER);
	double release_s = rollout_duration_s(&body->rollout, devices - body->rollout.canary);
	const char *sample = pg_text(counts, 0, SAMPLE) ? pg_text(counts, 0, SAMPLE) : "[]";
	auto_json struct json *parsed = json_parse(sample, strlen(sample), NULL);

	if (release_s > CAMPAIGN_RELEASE_MAX_S)
		release_s = CAMPAIGN_RELEASE_MAX_S;
	json_set_string(answer, "action", body->action->name);
	json_set_bool(answer, "destructive", body->action->destructive);
	json_set_int(answer, "devices", devices);
	json_set_int(answer, "online", pg_int(counts, 0, ONLINE));
	json_set_int(answer, "offline", pg_int(counts, 0, OFFLINE));
	json_set_int(answer, "never", pg_int(counts, 0, NEVER));
	json_set_double(answer, "offline_pct", devices > 0 ? 100 * (double)away / (double)devices : 0);
	if (pg_int(counts, 0, LISTED) > 0)
		json_set_int(answer, "left_out",
			     pg_int(counts, 0, LISTED) - devices); // unknown, disabled or named twice
	json_set_double(answer, "release_s", release_s);
	// Those that are online begin when their turn comes; those that are away have the time limit besides.
	add_time(answer, "expected_finish", release_s);
	add_time(answer, "latest_finish", release_s + (away > 0 ? (double)body->ttl_s : 0));
	json_set(answer, "sample", parsed ? json_copy(parsed) : json_new_array());
	return answer;
}

void campaigns_preview(struct http_request *request, void *user)
{
	auto_json struct json *json = http_body_json(request);
	auto_pg_result struct pg_result *counts = NULL;
	struct campaign_body body cleanup(campaign_body_done) = {0};
	struct error error = {0};

	campaign_body_init(&body);
	if (!json)
		return;
	if (!campaign_body_read(json, &body, &error))
		http_reply_problem(request, 422, error.what);
	else if (count_devices(user, request, &body, &counts))
		http_reply_json(request, 200, preview_json(&body, counts));
}

// ---- creating ----

static bool insert(struct dashboard *dashboard, struct http_request *request, const struct campaign_body *body,
		   char id[24], struct error *error)
{
	const struct auth *auth = auth_of(request);
	auto_pg_result struct pg_result *made = NULL;
	char ttl[24], begin[24], canary[24], success[40], errors[40], rate[40], factor[40];

	(void)snprintf(ttl, sizeof(ttl), "%lld", (long long)body->ttl_s);
	(void)snprintf(begin, sizeof(begin), "%lld", (long long)body->begin_ms);
	(void)snprintf(canary, sizeof(canary), "%lld", (long long)body->rollout.canary);
	buf_format_double(success, body->rollout.success_pct);
	buf_format_double(errors, body->rollout.error_pct);
	buf_format_double(rate, body->rollout.rate_per_min);
	buf_format_double(factor, body->rollout.factor);
	if (!PG_QUERY(dashboard->pg, &made, error, CREATE_SQL, body->name, body->action->name, json_text(body->params),
		      ttl, body->confirm ? "t" : "f", buf_str(&body->targets.query),
		      body->targets.devices.len_bytes > 0 ? buf_str(&body->targets.devices) : NULL,
		      body->continuous ? "t" : "f", canary, success, errors, rate, factor, auth->user,
		      auth->by_cookie ? "web" : "api", http_request_id(request), body->begin_ms > 0 ? begin : NULL,
		      body->in_window ? "t" : "f"))
		return false;
	(void)snprintf(id, 24, "%s", pg_text(made, 0, 0));
	return true;
}

static bool create(struct dashboard *dashboard, struct http_request *request, const struct campaign_body *body,
		   char id[24], struct error *error)
{
	auto_json struct json *detail = json_new_object();
	char target[48];

	if (!pg_begin(dashboard->pg, error) || !insert(dashboard, request, body, id, error))
		return false;
	json_set_string(detail, "name", body->name);
	json_set_string(detail, "action", body->action->name);
	json_set(detail, "params", json_copy(body->params));
	json_set_string(detail, "query", buf_str(&body->targets.query));
	json_set_string(detail, "devices", buf_str(&body->targets.devices));
	json_set_bool(detail, "start", body->start);
	(void)snprintf(target, sizeof(target), "campaign %s", id);
	return api_audit(dashboard, request, auth_of(request)->user, "campaign.create", target, json_text(detail),
			 error) &&
	       (!body->start || PG_QUERY(dashboard->pg, NULL, error, MOVE_SQL, id, "start", auth_of(request)->user)) &&
	       pg_commit(dashboard->pg, error);
}

static void reply_campaign(struct dashboard *dashboard, struct http_request *request, int status, const char *id)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {id};

	if (!api_query(dashboard, request, &rows, GET_SQL, 1, params))
		return;
	if (pg_rows(rows) == 0)
		http_reply_problem(request, 404, missing);
	else
		api_reply_text(request, status, pg_text(rows, 0, 0));
}

// Whom it is for must be right before it is stored, and as many as the person has seen.
static bool check_count(struct dashboard *dashboard, struct http_request *request, const struct campaign_body *body)
{
	auto_pg_result struct pg_result *counts = NULL;
	char detail[200];

	if (!count_devices(dashboard, request, body, &counts))
		return false;
	int64_t devices = pg_int(counts, 0, ALL);

	if (body->expect < 0 || body->expect == devices)
		return true;
	(void)snprintf(
		detail, sizeof(detail),
		"The campaign would be for %lld devices now, not for %lld as expected; look at the preview again.",
		(long long)devices, (long long)body->expect);
	http_reply_problem(request, 409, detail);
	return false;
}

void campaigns_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *json = http_body_json(request);
	struct campaign_body body cleanup(campaign_body_done) = {0};
	struct error error = {0};
	char id[24] = "", location[64];

	campaign_body_init(&body);
	if (!json)
		return;
	if (!campaign_body_read(json, &body, &error) || !campaign_body_check(&body, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	if (!check_count(dashboard, request, &body))
		return;
	if (!create(dashboard, request, &body, id, &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		return;
	}
	log_info("campaign.create", "request_id", http_request_id(request), "campaign", id, "user",
		 auth_of(request)->user);
	(void)snprintf(location, sizeof(location), "/api/v1/campaigns/%s", id);
	http_reply_header(request, "Location", location);
	reply_campaign(dashboard, request, 201, id);
}

// ---- start, pause, resume, abort, approve ----

static void refuse_move(struct dashboard *dashboard, struct http_request *request, const char *id, const char *verb)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {id};
	char detail[320];

	if (!api_query(dashboard, request, &row, "select state, created_by, approved_by from campaign where id = $1", 1,
		       params))
		return;
	const char *state = pg_rows(row) > 0 ? pg_text(row, 0, 0) : "gone";

	if (strcmp(verb, "approve") == 0 && pg_rows(row) > 0 && pg_text(row, 0, 2)[0])
		(void)snprintf(detail, sizeof(detail), "It was approved already, by %.64s.", pg_text(row, 0, 2));
	else if (strcmp(verb, "approve") == 0 && pg_rows(row) > 0 &&
		 strcmp(pg_text(row, 0, 1), auth_of(request)->user) == 0)
		(void)snprintf(detail, sizeof(detail),
			       "You made this campaign: another person with the role operator or administrator must "
			       "approve it.");
	else
		(void)snprintf(detail, sizeof(detail), "A campaign that is %s cannot be told to %s.", state, verb);
	http_reply_problem(request, 409, detail);
}

static void act(struct dashboard *dashboard, struct http_request *request, const char *verb)
{
	auto_pg_result struct pg_result *moved = NULL;
	const char *id = api_number_of_path(request, missing);
	struct error error = {0};
	char action[32], target[48];

	if (!id)
		return;
	const char *actor = auth_of(request)->user;

	(void)snprintf(action, sizeof(action), "campaign.%s", verb);
	(void)snprintf(target, sizeof(target), "campaign %.30s", id);
	if (!pg_ready(dashboard->pg, &error) || !pg_begin(dashboard->pg, &error) ||
	    !PG_QUERY(dashboard->pg, &moved, &error, MOVE_SQL, id, verb, actor) ||
	    !api_audit(dashboard, request, actor, action, target, "{}", &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		return;
	}
	if (!pg_bool(moved, 0, 0)) {
		pg_rollback(dashboard->pg);
		if (pg_text(moved, 0, 0))
			refuse_move(dashboard, request, id, verb);
		else
			http_reply_problem(request, 404, missing);
	} else if (!pg_commit(dashboard->pg, &error)) {
		api_reply_error(dashboard, request, &error);
	} else {
		log_info(action, "request_id", http_request_id(request), "campaign", id, "user", actor);
		reply_campaign(dashboard, request, 200, id);
	}
}

void campaigns_start(struct http_request *request, void *user)
{
	act(user, request, "start");
}

void campaigns_pause(struct http_request *request, void *user)
{
	act(user, request, "pause");
}

void campaigns_resume(struct http_request *request, void *user)
{
	act(user, request, "resume");
}

void campaigns_abort(struct http_request *request, void *user)
{
	act(user, request, "abort");
}

void campaigns_approve(struct http_request *request, void *user)
{
	act(user, request, "approve");
}
