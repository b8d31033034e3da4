// Devices are put in order by what they report of the metric now, and each k-th is looked at: those with much and those
// with little are there in their proportions. In that order a twentieth (four devices at least) is a stratum, and what
// the devices of a stratum differ by is what the average may be off by.
#include "dashboard/analytics_query.h"

#include "dashboard/api.h"
#include "dashboard/selection.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// So many hours, or days, of single devices are read for an answer. A device's days lie far apart.
#define HOURS_MAX 24000
#define DAYS_MAX 8000
#define STRATA "20"
#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)

// The first parameters of the statement; the query's come behind them:
// $1 metric, $2 its name in rollup_hour, $3 factor, $4 from, $5 to, $6 step, $7 how many devices at most.
#define FIRST_PARAMS 7
#define FROM "$4::timestamptz"
#define TO "$5::timestamptz"

// Of a device c.device with its number c.place: at, n, sum, min and max of each hour or day.
#define BY_HOUR                                                                                                        \
	"select c.place, r.hour as at, r.n, r.sum, r.min, r.max from chosen c cross join lateral (select * from"       \
	" rollup_hour r where r.device = c.device and r.metric = $2::text and r.hour >= " FROM " and r.hour < " TO     \
	") r"
#define BY_DAY(metric)                                                                                                 \
	"select c.place, r.day::timestamp at time zone 'UTC' as at, r." metric "_n as n, r." metric                    \
	"_sum as sum, r." metric "_min as min, r." metric "_max as max from chosen c cross join lateral (select"       \
	" * from rollup_day r where r.device = c.device and r.day >= (" FROM " at time zone 'UTC')::date"              \
	" and r.day < (" TO " at time zone 'UTC')::date and r." metric "_n > 0) r"

// Seconds online of those that were possible. Sessions that have ended are kept by day; the present one adds itself.
// OFFSET 0 keeps what may fail out of the condition, which under a policy could not use the index otherwise.
#define ONLINE                                                                                                         \
	"select c.place, d.at, extract(epoch from x.ended - x.begun) as n, 100 * least(coalesce((select r.online_s"    \
	" from rollup_day r where r.device = c.device and r.day = d.day), 0)"                                          \
	" + case when s.presence = 'online' then greatest(0, extract(epoch from x.ended - greatest(s.presence_since,"  \
	" d.at))) else 0 end, extract(epoch from x.ended - x.begun)) as sum, null::float8 as min,"                     \
	" null::float8 as max from chosen c cross join lateral (select * from device_state s where s.device"           \
	" = c.device offset 0) s cross join (select at, (at at time zone 'UTC')::date as day from"                     \
	" generate_series(" FROM ", " TO " - interval '1 day', interval '1 day') at offset 0) d"                       \
	" cross join lateral (select greatest(s.first_seen, d.at) as begun, least(now(), d.at + interval"              \
	" '1 day') as ended) x where x.begun < x.ended"

static const struct metric {
	const char *name, *hourly, *factor; // in rollup_hour
	const char *now;		    // what the roster says of it
	const char *days;
} metrics[] = {
	{"online_pct", NULL, "1", "r.presence, r.seen", ONLINE},
	{"battery_pct", "battery_pct", "1", "r.battery", BY_DAY("battery_pct")},
	{"charging_pct", "charging", "100", "r.charging", BY_DAY("charging_pct")},
	{"cpu_pct", "cpu_pct", "1", "r.cpu", BY_DAY("cpu_pct")},
	{"mem_used_pct", "mem_used_pct", "1", "r.memory", BY_DAY("mem_used_pct")},
	{"disk_used_pct", "disk_used_pct", "1", "r.disk", BY_DAY("disk_used_pct")},
	{"load1", "load1", "1", "r.load", BY_DAY("load1")},
	{"rssi_dbm", "rssi_dbm", "1", "r.rssi", BY_DAY("rssi_dbm")},
	{"temperature_c", "temperature_c", "1", "r.temperature", BY_DAY("temperature_c")},
};

// Found are all that match, in order, as one array: windows over so many rows cost more (docs/performance.md).
static const char FOUND_SQL[] = "with found as materialized (select array_agg(r.device order by ";
static const char FOUND_IN_SQL[] = ", hashtext(r.device)) as devices from device_roster r";

// From the devices found to the answer, around the source. A device counts once in a step, whatever it sent.
static const char CHOSEN_SQL[] =
	"), size as materialized (select total, least($7::bigint, total) as taken, $2::text from (select"
	" coalesce(cardinality(devices), 0)::bigint as total from found) f), chosen as materialized (select d.device,"
	" d.place from size, found, unnest(devices) with ordinality d (device, place) where (d.place * taken + total /"
	" 2) / total <> ((d.place - 1) * taken + total / 2) / total),"
	" cell as (select date_bin($6::interval, x.at, " FROM ") as b, x.place, $3::float8 * sum(x.sum) / sum(x.n) as"
	" v, $3::float8 * min(x.min) as l, $3::float8 * max(x.max) as h, sum(x.n) as n from (";
static const char ANSWER_SQL[] =
	") x group by 1, 2), stratum as (select b, (place - 1) * greatest(1, least(" STRATA ", taken / 4)) / total as"
	" stratum, count(v) as k, sum(v) as s, coalesce(var_samp(v), 0) as var, min(l) as l, max(h) as h, sum(n) as n"
	" from cell cross join size group by 1, 2), point as (select b, sum(s) / sum(k) as a,"
	" 1.96 * sqrt(greatest(0, 1 - taken::float8 / total) * sum(k * var)) / sum(k) as margin, min(l) as l,"
	" max(h) as h, sum(n) as n from stratum, size group by b, taken, total), high as (select b,"
	" percentile_cont(0.95) within group (order by v) as p, min(v) as least, max(v) as greatest from cell group"
	" by 1) select coalesce((select json_agg(json_build_array(epoch_ms(b), rounded(a), rounded(coalesce(l,"
	" least)), rounded(coalesce(h, greatest)), rounded(p), round(n), rounded(margin)) order by b) from point"
	" join high using (b)), '[]'), total, taken, (select rounded(max(margin)) from point), (select unit from"
	" rollup_fleet_metric where metric = $1::text) from size";

static const struct metric *find_metric(const char *name)
{
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		if (strcmp(metrics[i].name, name) == 0)
			return &metrics[i];
	}
	return NULL;
}

// Whether more than so many match: no more than these are looked for.
static bool match_more(struct dashboard *dashboard, struct http_request *request, int64_t devices, bool *out)
{
	auto_selection struct selection selection;
	auto_pg_result struct pg_result *row = NULL;
	char rest[sizeof(" limit 1) x") + 24];

	selection_init(&selection);
	selection_add(&selection, "select count(*) from (select from device_roster r");
	if (!selection_where_for(&selection, dashboard, request, api_text(request, "query"), ""))
		return false;
	(void)snprintf(rest, sizeof(rest), " limit %lld) x", (long long)devices + 1);
	selection_add(&selection, rest);
	if (!selection_run(&selection, dashboard, request, &row))
		return false;
	*out = pg_int(row, 0, 0) > devices;
	return true;
}

// Hours where all devices' can be read, or where there are but few: then some are looked at. False: answered.
static bool choose_days(struct dashboard *dashboard, struct http_request *request, const struct metric *metric,
			const struct span *span, bool *days)
{
	const char *by = api_text(request, "by");
	int64_t hours = (span->to_ms - span->from_ms) / HOUR_MS + 1;

	if (by && strcmp(by, "hour") != 0 && strcmp(by, "day") != 0) {
		http_reply_problem(request, 400, "\"by\" is one of hour and day.");
		return false;
	}
	*days = !metric->hourly || (by && strcmp(by, "day") == 0);
	if (by || *days)
		return true;
	return hours <= 48 || match_more(dashboard, request, HOURS_MAX / hours, days);
}

// One row: points, devices that match, devices looked at, the largest margin, the unit.
static bool find_points(struct dashboard *dashboard, struct http_request *request, const struct metric *metric,
			const struct span *span, bool days, struct pg_result **row)
{
	auto_selection struct selection selection;
	char most[SELECTION_NUMBER_BYTES];
	int64_t steps = (span->to_ms - span->from_ms) / (days ? DAY_MS : HOUR_MS) + 1;

	selection_init(&selection);
	(void)snprintf(most, sizeof(most), "%lld", (long long)((days ? DAYS_MAX : HOURS_MAX) / steps));
	const char *const first[] = {
		metric->name, metric->hourly, days ? "1" : metric->factor, span->from, span->to, span->step, most};
	static_assert(sizeof(first) / sizeof(first[0]) == FIRST_PARAMS, "one for each");
	for (size_t i = 0; i < FIRST_PARAMS; i++)
		selection.params[selection.count++] = first[i];
	selection_add(&selection, FOUND_SQL);
	selection_add(&selection, metric->now);
	selection_add(&selection, FOUND_IN_SQL);
	if (!selection_where_for(&selection, dashboard, request, api_text(request, "query"), ""))
		return false;
	selection_add(&selection, CHOSEN_SQL);
	selection_add(&selection, days ? metric->days : BY_HOUR);
	selection_add(&selection, ANSWER_SQL);
	return selection_run(&selection, dashboard, request, row);
}

void analytics_query(struct dashboard *dashboard, struct http_request *request, const char *metric,
		     const struct span *span)
{
	const struct metric *found = find_metric(metric);
	struct span asked = *span;
	bool days = false;
	auto_pg_result struct pg_result *row = NULL;
	auto_buf struct buf body = {0};

	if (!found) {
		http_reply_problem(request, 422, SPAN_NO_METRIC);
		return;
	}
	if (!choose_days(dashboard, request, found, span, &days))
		return;
	if (days)
		span_whole_days(&asked);
	if (!find_points(dashboard, request, found, &asked, days, &row))
		return;
	span_begin_answer(&body, metric, pg_text(row, 0, 4), &asked);
	(void)buf_addf(&body,
		       ",\"by\":\"%s\",\"devices\":%s,\"sampled\":%s,\"margin\":%s,\"columns\":[\"ts\",\"avg\",\"min\","
		       "\"max\",\"p95\",\"n\",\"margin\"],\"points\":%s}",
		       days ? "day" : "hour", pg_text(row, 0, 1), pg_text(row, 0, 2),
		       pg_text(row, 0, 3) ? pg_text(row, 0, 3) : "null", pg_text(row, 0, 0));
	api_reply_text(request, 200, buf_str(&body));
}
