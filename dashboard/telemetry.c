#include "dashboard/telemetry.h"

#include "common/clock.h"
#include "common/limits.h"
#include "dashboard/api.h"

#include <stdio.h>
#include <string.h>

// Single readings for short spans; for longer ones, and where the readings have expired already, the hourly rollups
// that ingest makes (db/migrations/0003_rollups.sql), whose metrics have the same names, or days where these are gone.

// $1 device, $2 from, $3 to, $4 width of a step in ms, all times in ms since 1970. Steps begin at "from".
#define SERIES(value)                                                                                                  \
	"select json_build_array((extract(epoch from b) * 1000)::bigint, round(avg(v)::numeric, 3)::float8, min(v),"   \
	" max(v)) from (select date_bin($4::bigint * interval '1 ms', measured_at,"                                    \
	" timestamptz 'epoch' + $2::bigint * interval '1 ms') b, (" value ")::float8 v from telemetry"                 \
	" where device = $1 and measured_at >= timestamptz 'epoch' + $2::bigint * interval '1 ms'"                     \
	" and measured_at < timestamptz 'epoch' + $3::bigint * interval '1 ms') x where v is not null group by b "     \
	"order by b"

static const struct metric_source {
	const char *name, *unit, *sql;
} sources[] = {
	{"battery_pct", "%", SERIES("battery_pct")},
	{"charging", "", SERIES("charging::integer")},
	{"cpu_pct", "%", SERIES("cpu_pct")},
	{"mem_used_pct", "%", SERIES("100 * (1 - mem_available::float8 / nullif(mem_total, 0))")},
	{"disk_used_pct", "%", SERIES("100 * (1 - disk_free::float8 / nullif(disk_total, 0))")},
	{"load1", "", SERIES("load1")},
	{"mem_total", "B", SERIES("mem_total")},
	{"mem_available", "B", SERIES("mem_available")},
	{"disk_total", "B", SERIES("disk_total")},
	{"disk_free", "B", SERIES("disk_free")},
	{"uptime_s", "s", SERIES("uptime_s")},
	{"rssi_dbm", "dBm", SERIES("rssi_dbm")},
	{"temperature_c", "°C", SERIES("temperature_c")},
};
static const char CUSTOM_SQL[] =
	SERIES("case jsonb_typeof(custom -> $5) when 'number' then (custom ->> $5)::float8 "
	       "when 'boolean' then (custom -> $5)::boolean::integer::float8 end");
static const char ROLLUP_SQL[] =
	"select json_build_array((extract(epoch from b) * 1000)::bigint, round((sum(s) / sum(n))::numeric, 3)::float8,"
	" min(l), max(h)) from (select date_bin($4::bigint * interval '1 ms', at,"
	" timestamptz 'epoch' + $2::bigint * interval '1 ms') b, n, min l, max h, sum s from rollup_of($1, $5,"
	" timestamptz 'epoch' + $2::bigint * interval '1 ms', timestamptz 'epoch' + $3::bigint * interval '1 ms')) x"
	" group by b order by b";
// Whether every reading since $1 is still there.
static const char RAW_SQL[] =
	"select raw_from <= timestamptz 'epoch' + $1::bigint * interval '1 ms' from rollup_state";

#define POINTS_DEFAULT 300
#define POINTS_MAX 2000
#define RANGE_DEFAULT_MS INT64_C(86400000)
#define RANGE_MAX_MS (366 * RANGE_DEFAULT_MS)
#define RAW_MAX_MS (2 * RANGE_DEFAULT_MS) // some thousand readings; beyond, hours are fine enough
#define HOUR_MS INT64_C(3600000)
#define TIME_MAX_MS INT64_C(253402300799999) // the end of the year 9999

struct span {
	int64_t from_ms, to_ms, step_ms;
	bool raw; // from single readings, not from rollups
};

// Milliseconds since 1970, or RFC 3339.
static bool parse_time(struct http_request *request, const char *name, int64_t *out_ms)
{
	const char *text = api_text(request, name);
	int64_t value = 0;
	char detail[128];

	if (!text)
		return true;
	if ((api_parse_int(text, &value) || clock_parse_rfc3339(text, strlen(text), &value)) && value >= 0 &&
	    value <= TIME_MAX_MS) {
		*out_ms = value;
		return true;
	}
	(void)snprintf(detail, sizeof(detail), "\"%s\" must be milliseconds since 1970 or an RFC 3339 time.", name);
	http_reply_problem(request, 400, detail);
	return false;
}

static bool parse_span(struct http_request *request, struct span *span)
{
	int64_t points = POINTS_DEFAULT;

	span->to_ms = clock_wall_ms();
	if (!parse_time(request, "to", &span->to_ms))
		return false;
	span->from_ms = span->to_ms > RANGE_DEFAULT_MS ? span->to_ms - RANGE_DEFAULT_MS : 0;
	if (!parse_time(request, "from", &span->from_ms) || !api_int(request, "points", 1, POINTS_MAX, &points))
		return false;
	if (span->from_ms >= span->to_ms || span->to_ms - span->from_ms > RANGE_MAX_MS) {
		http_reply_problem(request, 400, "\"from\" must be before \"to\", at most 366 days.");
		return false;
	}
	span->step_ms = (span->to_ms - span->from_ms + points - 1) / points;
	return true;
}

static void reply(struct http_request *request, const char *metric, const char *unit, const struct span *span,
		  const struct pg_result *rows)
{
	auto_buf struct buf body;

	buf_init(&body, API_ANSWER_MAX_BYTES);
	buf_add_str(&body, "{\"device\":");
	json_quote(&body, http_param(request, "id"));
	buf_add_str(&body, ",\"metric\":");
	json_quote(&body, metric);
	buf_add_str(&body, ",\"unit\":");
	json_quote(&body, unit);
	buf_addf(&body, ",\"source\":\"%s\",\"from\":%lld,\"to\":%lld,\"step_ms\":%lld,"
			"\"columns\":[\"ts\",\"avg\",\"min\",\"max\"],\"points\":[",
		 span->raw ? "raw" : "rollup", (long long)span->from_ms, (long long)span->to_ms,
		 (long long)span->step_ms);
	for (size_t i = 0; i < pg_rows(rows); i++) {
		if (i > 0)
			buf_add_str(&body, ",");
		buf_add_str(&body, pg_text(rows, i, 0));
	}
	buf_add_str(&body, "]}");
	api_reply_text(request, 200, buf_str(&body));
}

struct number {
	char text[24];
};

static struct number number(int64_t value)
{
	struct number number;

	(void)snprintf(number.text, sizeof(number.text), "%lld", (long long)value);
	return number;
}

// Decides what the answer is made from; false when the request is answered already.
static bool choose(struct http_request *request, void *user, struct span *span)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (span->to_ms - span->from_ms <= RAW_MAX_MS) {
		const struct number from = number(span->from_ms);
		const char *const params[] = {from.text};

		if (!api_query(user, request, &rows, RAW_SQL, 1, params))
			return false;
		span->raw = pg_rows(rows) == 1 && pg_bool(rows, 0, 0);
	}
	if (!span->raw) { // whole hours: the one in which it begins counts in full
		span->from_ms -= span->from_ms % HOUR_MS;
		span->step_ms = (span->step_ms + HOUR_MS - 1) / HOUR_MS * HOUR_MS;
	}
	return true;
}

static void select_points(struct http_request *request, void *user, const char *metric, const struct span *span)
{
	const char *unit = "", *sql = CUSTOM_SQL;
	size_t count = 5;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (strcmp(sources[i].name, metric) == 0) {
			sql = sources[i].sql;
			unit = sources[i].unit;
			count = 4;
		}
	}
	if (!span->raw) {
		sql = ROLLUP_SQL;
		count = 5;
	}

	auto_pg_result struct pg_result *rows = NULL;
	const struct number from = number(span->from_ms), to = number(span->to_ms), step = number(span->step_ms);
	const char *const params[] = {http_param(request, "id"), from.text, to.text, step.text, metric};

	if (api_query(user, request, &rows, sql, count, params))
		reply(request, metric, unit, span, rows);
}

void telemetry_get(struct http_request *request, void *user)
{
	const char *metric = api_text(request, "metric");
	struct span span = {0};

	if (!metric || strlen(metric) > METRIC_NAME_MAX) {
		http_reply_problem(request, 400, "\"metric\" is needed: battery_pct, cpu_pct, mem_used_pct, "
						 "disk_used_pct, load1, ... or the name of a custom metric.");
		return;
	}
	if (parse_span(request, &span) && choose(request, user, &span))
		select_points(request, user, metric, &span);
}
