#include "dashboard/analytics.h"

#include "common/limits.h"
#include "common/topic.h"
#include "dashboard/analytics_query.h"
#include "dashboard/analytics_span.h"
#include "dashboard/api.h"
#include "dashboard/targets.h"

#include <stdio.h>
#include <string.h>

// In its place comes what a query says.
#define CONDITION "/*query*/true"
#define STATEMENT_MAX_BYTES 131072
#define COMPARED_MAX 8
#define TYPES_MAX "12"

// $1 metric, $2 scope, $3 from, $4 to, $5 step. One row: the unit (none without such a metric) and the points.
static const char TRENDS_SQL[] =
	"with point as (select date_bin($5::interval, hour, $3::timestamptz) as b, sum(n) as n, sum(sum) as s,"
	"  min(min) as l, max(max) as h, rollup_bins_sum(bins) as bins from rollup_fleet where metric = $1 and scope"
	"  = $2"
	"  and hour >= $3::timestamptz and hour < $4::timestamptz group by 1)"
	" select m.unit, coalesce((select json_agg(json_build_array(epoch_ms(b), rounded(s / n), rounded(l),"
	"  rounded(h),"
	"  rounded(rollup_quantile(m, bins, 0.95, l, h)), n) order by b) from point), '[]')"
	" from rollup_fleet_metric m where m.metric = $1";
static const char UNIT_SQL[] = "select unit from rollup_fleet_metric where metric = $1";
static const char SCOPES_SQL[] =
	"select json_build_object('metrics', (select json_agg(json_build_object('metric', metric, 'unit', unit))"
	"  from rollup_fleet_metric), 'scopes', coalesce((select json_agg(scope order by scope) from (select"
	"  distinct scope"
	"  from rollup_fleet where metric = 'online_pct' and scope <> '' and hour > now() - interval '2 days'"
	"  and (coalesce(current_setting('muster.groups', true), '') = '' or scope = any (array(select 'group:' || g"
	"   from unnest(string_to_array(current_setting('muster.groups', true), ',')) g)))) x), '[]'))";

// $1 devices, $2 metric, $3 from, $4 to, $5 step.
static const char COMPARE_SQL[] =
	"select json_build_object('device', d.device, 'display_name', d.display_name, 'points', coalesce((select"
	"  json_agg(json_build_array(epoch_ms(b), a, l, h) order by b) from (select date_bin($5::interval, r.at,"
	"  $3::timestamptz) as b, rounded(sum(r.sum) / sum(r.n)) as a, min(r.min) as l, max(r.max) as h from"
	"  rollup_of(d.device, $2, $3::timestamptz, $4::timestamptz) r group by 1) p), '[]'))"
	" from unnest($1::text[]) with ordinality w (device, place) join device d on d.device = w.device order by"
	"  w.place";

// $1 scope, $2 from, $3 to, $4 step.
static const char EVENTS_SQL[] =
	"with point as (select date_bin($4::interval, hour, $2::timestamptz) as b, type, sum(n) as n from"
	"  rollup_event"
	"  where scope = $1 and hour >= $2::timestamptz and hour < $3::timestamptz group by 1, 2),"
	" total as (select type, sum(n) as n from point group by 1),"
	" shown as (select * from total order by n desc, type limit " TYPES_MAX ")"
	" select json_build_object('total', (select coalesce(sum(n), 0) from total), 'types', coalesce((select"
	"  json_agg(json_build_object('type', t.type, 'total', t.n, 'points', (select json_agg(json_build_array("
	"  epoch_ms(p.b), p.n) order by p.b) from point p where p.type = t.type)) order by t.n desc, t.type) from"
	"  shown t),"
	"  '[]'), 'others', (select coalesce(sum(n), 0) from total where type not in (select type from shown)))";

// $1 scope, $2 from, $3 to.
static const char UPTIME_SCOPES_SQL[] =
	"select json_build_object('scope', scope, 'online_pct', rounded(sum(sum) / sum(n)), 'days', json_agg("
	"  json_build_array(epoch_ms(day), rounded(sum / n)) order by day)) from (select scope, date_trunc('day',"
	"  hour,"
	"  'UTC') as day, sum(sum) as sum, sum(n) as n from rollup_fleet where metric = 'online_pct' and (scope = $1"
	"  or"
	"  $1 = '') and hour >= $2::timestamptz and hour < $3::timestamptz group by 1, 2) x"
	" group by scope order by scope limit 100";
// $1 from, $2 to: whole days of UTC; $3 limit, $4 after; the query's from $5 on. What is online now adds its session.
static const char UPTIME_DEVICES_SQL[] =
	"with shown as materialized (select d.device, d.display_name, s.presence, s.presence_since,"
	"  greatest(s.first_seen, $1::timestamptz) as begun, least(now(), $2::timestamptz) as ended"
	"  from device d join device_state s on s.device = d.device where ($4::text is null or d.device > $4)"
	"  and s.first_seen < $2::timestamptz and " CONDITION " order by d.device limit $3::integer + 1)"
	" select json_build_object('device', s.device, 'display_name', s.display_name, 'presence', s.presence,"
	"  'since', s.presence_since, 'possible_s', round(possible), 'online_s', round(online),"
	"  'online_pct', rounded(100 * least(1, online / nullif(possible, 0)))), s.device from shown s,"
	" lateral (select extract(epoch from s.ended - s.begun)::float8 as possible, coalesce((select sum(r.online_s)"
	"  from rollup_day r where r.device = s.device and r.day >= ($1::timestamptz at time zone 'UTC')::date"
	"  and r.day <= (s.ended at time zone 'UTC')::date), 0)"
	"  + case when s.presence = 'online' then greatest(0, extract(epoch from s.ended - greatest(s.presence_since,"
	"  $1::timestamptz)))::float8 else 0 end as online) x order by s.device";
enum { UPTIME_QUERY_PARAM = 5 };

// $1 day, $2 limit, $3 whether by events.
static const char REPORTERS_SQL[] =
	"select json_build_object('device', r.device, 'display_name', d.display_name, 'readings', r.readings,"
	"  'events',"
	"  r.events) from (select * from rollup_day where day = $1::date order by case when $3::boolean then events"
	"  else readings end desc, device limit $2::integer) r join device d on d.device = r.device"
	" order by case when $3::boolean then r.events else r.readings end desc, r.device";

// sql with the condition that text says put in; params has room for its values from first_param on. False: answered.
static bool query_rows(struct dashboard *dashboard, struct http_request *request, const char *sql, size_t first_param,
		       const char **params, struct pg_result **rows)
{
	const char *text = api_text(request, "query"), *mark = strstr(sql, CONDITION);
	auto_query struct query query = {0};
	auto_buf struct buf whole;

	buf_init(&whole, STATEMENT_MAX_BYTES);
	if (!targets_compile(dashboard, request, text ? text : "", first_param, &query))
		return false;
	(void)buf_add(&whole, sql, (size_t)(mark - sql));
	(void)buf_add_str(&whole, buf_str(&query.sql));
	(void)buf_add_str(&whole, mark + strlen(CONDITION));
	for (size_t i = 0; i < query.count; i++)
		params[first_param - 1 + i] = query.params[i];
	if (whole.overflowed) {
		http_reply_problem(request, 422, "The query is too long; save parts of it as filters or use a group.");
		return false;
	}
	return api_query(dashboard, request, rows, buf_str(&whole), first_param - 1 + query.count, params);
}

// ---- trends ----

#define POINT_COLUMNS ",\"columns\":[\"ts\",\"avg\",\"min\",\"max\",\"p95\",\"n\"],\"points\":"

static void trend_of_scope(struct dashboard *dashboard, struct http_request *request, const char *metric,
			   const struct span *span)
{
	char scope[SPAN_SCOPE_MAX];
	auto_pg_result struct pg_result *row = NULL;
	auto_buf struct buf body = {0};
	const char *const params[] = {metric, scope, span->from, span->to, span->step};

	if (!span_scope(dashboard, request, scope) || !api_query(dashboard, request, &row, TRENDS_SQL, 5, params))
		return;
	if (pg_rows(row) == 0) {
		http_reply_problem(request, 422, SPAN_NO_METRIC);
		return;
	}
	span_begin_answer(&body, metric, pg_text(row, 0, 0), span);
	(void)buf_add_str(&body, ",\"scope\":");
	(void)json_quote(&body, scope);
	(void)buf_addf(&body, POINT_COLUMNS "%s}", pg_text(row, 0, 1));
	api_reply_text(request, 200, buf_str(&body));
}

void analytics_trends(struct http_request *request, void *user)
{
	const char *metric = api_text(request, "metric");
	struct span span = {0};

	if (!span_read(request, 7, &span))
		return;
	if (api_text(request, "query"))
		analytics_query(user, request, metric ? metric : "cpu_pct", &span);
	else
		trend_of_scope(user, request, metric ? metric : "online_pct", &span);
}

void analytics_scopes(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *row = NULL;

	if (api_query(user, request, &row, SCOPES_SQL, 0, NULL))
		api_reply_row(request, row, "");
}

// ---- comparison ----

// "a,b,c" as a PostgreSQL array; answers when it is none of 1 to COMPARED_MAX ids.
static bool read_devices(struct http_request *request, struct buf *out)
{
	const char *list = api_text(request, "devices");
	size_t count = 0;
	bool sound = list != NULL;

	buf_init(out, (size_t)COMPARED_MAX * (DEVICE_ID_MAX + 1) + 2);
	for (const char *at = list; sound && at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		char id[DEVICE_ID_MAX + 2];

		(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(at, ","), at);
		sound = topic_is_device_id(id) && ++count <= COMPARED_MAX &&
			buf_addf(out, "%c%s", count == 1 ? '{' : ',', id);
	}
	if (sound && buf_add_str(out, "}"))
		return true;
	http_reply_problem(request, 400, "\"devices\" must be 1 to 8 device ids with commas between them.");
	return false;
}

void analytics_compare(struct http_request *request, void *user)
{
	const char *metric = api_text(request, "metric");
	struct span span = {0};
	auto_buf struct buf devices = {0}, body = {0};
	auto_pg_result struct pg_result *rows = NULL, *unit = NULL;

	if (!metric || strlen(metric) > METRIC_NAME_MAX) {
		http_reply_problem(request, 400,
				   "\"metric\" is needed: battery_pct, cpu_pct, mem_used_pct, "
				   "disk_used_pct, load1, ... or the name of a custom metric.");
		return;
	}
	if (!read_devices(request, &devices) || !span_read(request, 7, &span))
		return;
	const char *const params[] = {buf_str(&devices), metric, span.from, span.to, span.step};

	if (!api_query(user, request, &unit, UNIT_SQL, 1, params + 1) ||
	    !api_query(user, request, &rows, COMPARE_SQL, 5, params))
		return;
	span_begin_answer(&body, metric, pg_rows(unit) > 0 ? pg_text(unit, 0, 0) : "", &span);
	(void)buf_add_str(&body, ",\"columns\":[\"ts\",\"avg\",\"min\",\"max\"],\"devices\":[");
	for (size_t i = 0; i < pg_rows(rows); i++)
		(void)buf_addf(&body, "%s%s", i > 0 ? "," : "", pg_text(rows, i, 0));
	(void)buf_add_str(&body, "]}");
	api_reply_text(request, 200, buf_str(&body));
}

// ---- events, uptime, reporters ----

void analytics_events(struct http_request *request, void *user)
{
	struct span span = {0};
	char scope[SPAN_SCOPE_MAX];
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {scope, span.from, span.to, span.step};

	if (span_read(request, 7, &span) && span_scope(user, request, scope) &&
	    api_query(user, request, &row, EVENTS_SQL, 4, params)) {
		auto_buf struct buf body;

		buf_init(&body, API_ANSWER_MAX_BYTES);
		(void)buf_addf(&body, "{\"from\":%lld,\"to\":%lld,\"step_ms\":%lld,%s", (long long)span.from_ms,
			       (long long)span.to_ms, (long long)span.step_ms, pg_text(row, 0, 0) + 1);
		api_reply_text(request, 200, buf_str(&body));
	}
}

// by=scope: shares of all devices, of tags and groups; by=device (the default): of each device that matches, in pages.
void analytics_uptime(struct http_request *request, void *user)
{
	const char *by = api_text(request, "by");
	struct span span = {0};
	char scope[SPAN_SCOPE_MAX], limit_text[24];
	int64_t limit = 0;
	auto_pg_result struct pg_result *rows = NULL;

	if (!span_read(request, 7, &span) || !api_limit(request, &limit))
		return;
	if (by && strcmp(by, "scope") == 0) {
		const char *const params[] = {scope, span.from, span.to};

		if (span_scope(user, request, scope) && api_query(user, request, &rows, UPTIME_SCOPES_SQL, 3, params))
			api_reply_page(request, rows, API_LIMIT_MAX);
		return;
	}
	span_whole_days(&span); // sessions that have ended are kept by day
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);
	const char *params[UPTIME_QUERY_PARAM - 1 + QUERY_PARAMS_MAX] = {span.from, span.to, limit_text,
									 api_text(request, "after")};

	if (query_rows(user, request, UPTIME_DEVICES_SQL, UPTIME_QUERY_PARAM, params, &rows))
		api_reply_page(request, rows, limit);
}

void analytics_reporters(struct http_request *request, void *user)
{
	const char *by = api_text(request, "by");
	char day[16], limit_text[24];
	int64_t limit = 0;
	auto_pg_result struct pg_result *rows = NULL;

	if (by && strcmp(by, "events") != 0 && strcmp(by, "readings") != 0) {
		http_reply_problem(request, 400, "\"by\" is one of readings and events.");
		return;
	}
	if (!span_day(request, day) || !api_limit(request, &limit))
		return;
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);
	const char *const params[] = {day, limit_text, by && strcmp(by, "events") == 0 ? "true" : "false"};

	if (api_query(user, request, &rows, REPORTERS_SQL, 3, params))
		api_reply_page(request, rows, limit);
}
