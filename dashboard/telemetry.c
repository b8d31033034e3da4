#include "dashboard/telemetry.h"

#include "common/clock.h"
#include "common/limits.h"
#include "dashboard/api.h"

#include <stdio.h>
#include <string.h>

// $1 device, $2 from, $3 to, $4 width of a step in ms, all times in ms since 1970. Steps begin at "from".
#define SERIES(value) \
	"select json_build_array((extract(epoch from b) * 1000)::bigint, round(avg(v)::numeric, 3)::float8, min(v)," \
	" max(v)) from (select date_bin($4::bigint * interval '1 ms', ts," \
	" timestamptz 'epoch' + $2::bigint * interval '1 ms') b, (" value ")::float8 v from telemetry" \
	" where device = $1 and ts >= timestamptz 'epoch' + $2::bigint * interval '1 ms'" \
	" and ts < timestamptz 'epoch' + $3::bigint * interval '1 ms') x where v is not null group by b order by b"

static const struct metric_source {
	const char *name, *unit, *sql;
} sources[] = {
	{"battery_pct", "%", SERIES("battery_pct")},
	{"cpu_pct", "%", SERIES("cpu_pct")},
	{"mem_used_pct", "%", SERIES("100 * (1 - mem_available::float8 / nullif(mem_total, 0))")},
	{"disk_used_pct", "%", SERIES("100 * (1 - disk_free::float8 / nullif(disk_total, 0))")},
	{"load1", "", SERIES("load1")},
	{"mem_available", "B", SERIES("mem_available")},
	{"disk_free", "B", SERIES("disk_free")},
	{"uptime_s", "s", SERIES("uptime_s")},
	{"rssi_dbm", "dBm", SERIES("rssi_dbm")},
	{"temperature_c", "°C", SERIES("temperature_c")},
};
static const char CUSTOM_SQL[] =
	SERIES("case when jsonb_typeof(custom -> $5) = 'number' then (custom ->> $5) end");

#define POINTS_DEFAULT 300
#define POINTS_MAX 2000
#define RANGE_DEFAULT_MS INT64_C(86400000)
#define RANGE_MAX_MS (366 * RANGE_DEFAULT_MS)
#define TIME_MAX_MS INT64_C(253402300799999) // the end of the year 9999

struct span {
	int64_t from_ms, to_ms, step_ms;
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
	buf_addf(&body, ",\"from\":%lld,\"to\":%lld,\"step_ms\":%lld,"
			"\"columns\":[\"ts\",\"avg\",\"min\",\"max\"],\"points\":[",
		 (long long)span->from_ms, (long long)span->to_ms, (long long)span->step_ms);
	for (size_t i = 0; i < pg_rows(rows); i++) {
		if (i > 0)
			buf_add_str(&body, ",");
		buf_add_str(&body, pg_text(rows, i, 0));
	}
	buf_add_str(&body, "]}");
	api_reply_text(request, 200, buf_str(&body));
}

void telemetry_get(struct http_request *request, void *user)
{
	const char *metric = api_text(request, "metric"), *unit = "", *sql = CUSTOM_SQL;
	char from[24], to[24], step[24];
	size_t count = 5;
	struct span span;

	if (!metric || strlen(metric) > METRIC_NAME_MAX) {
		http_reply_problem(request, 400, "\"metric\" is needed: battery_pct, cpu_pct, mem_used_pct, "
						 "disk_used_pct, load1, ... or the name of a custom metric.");
		return;
	}
	if (!parse_span(request, &span))
		return;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (strcmp(sources[i].name, metric) == 0) {
			sql = sources[i].sql;
			unit = sources[i].unit;
			count = 4;
		}
	}
	(void)snprintf(from, sizeof(from), "%lld", (long long)span.from_ms);
	(void)snprintf(to, sizeof(to), "%lld", (long long)span.to_ms);
	(void)snprintf(step, sizeof(step), "%lld", (long long)span.step_ms);

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {http_param(request, "id"), from, to, step, metric};

	if (api_query(user, request, &rows, sql, count, params))
		reply(request, metric, unit, &span, rows);
}
