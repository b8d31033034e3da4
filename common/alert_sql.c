#include "common/alert_sql.h"

#include "common/alert_words.h"
#include "common/device_sql.h"

#include <string.h>

#define NUMBER(name) "(r.params ->> '" name "')::float8"
#define DISK_PCT "((1 - s.disk_free::float8 / nullif(s.disk_total, 0)) * 100)"
#define MEMORY_PCT "((1 - s.mem_available::float8 / nullif(s.mem_total, 0)) * 100)"
#define TIME(at) "to_char(" at " at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'"

// A device that sleeps is where it is expected to be until it fails to report; otherwise "offline" counts from when it
// was heard, and silence from when it became too long.
#define GONE "(s.presence = 'offline' and s.presence_why <> 'sleep')"
#define SILENT_AT "(" DEVICE_SEEN_SQL " + " DEVICE_SILENCE_SQL ")"
#define OFFLINE_SINCE "case when " GONE " then least(s.presence_since, now()) else " SILENT_AT " end"
#define OFFLINE                                                                                                        \
	"case when " GONE " then s.presence_why <> 'goodbye' or r.params ->> 'goodbye' = 'counts'"                     \
	" else s.presence in ('online', 'offline') and " SILENT_AT " < now() end"

// Of a device, from its state. value is what the alert says, and for a metric what is compared (METRIC in the texts).
struct device_sql {
	const char *holds, *still, *since, *value, *title;
};

struct alert_sql {
	const char *kind;
	struct device_sql device; // holds NULL: whole
	// Rows (object, device, cell, since, value, title); %s is where the query's condition on d and s stands.
	const char *whole;
	bool confirms, silence;
};

// What is no device has no query. What is the installation's counts for the tenant "default".
static const struct alert_sql kinds[] = {
	{.kind = "offline",
	 .device = {OFFLINE, OFFLINE, OFFLINE_SINCE, "extract(epoch from now() - (" OFFLINE_SINCE "))",
		    "'offline since ' || " TIME("(" OFFLINE_SINCE ")")},
	 .silence = true},
	{.kind = "metric",
	 .device = {"case r.params ->> 'when' when 'above' then METRIC > " NUMBER("value") " else METRIC < " NUMBER(
			    "value") " end",
		    "case r.params ->> 'when' when 'above' then METRIC > " NUMBER("value") " - " NUMBER(
			    "margin") " else METRIC < " NUMBER("value") " + " NUMBER("margin") " end",
		    "now()", "METRIC",
		    "LABEL || ' is ' || round(((METRIC) / SCALE)::numeric, 2)::float8 || UNIT || ', ' ||"
		    " (r.params ->> 'when') || ' ' || (" NUMBER("value") " / SCALE) || UNIT"},
	 .confirms = true},
	{.kind = "disk",
	 .device = {DISK_PCT " > " NUMBER("above"), DISK_PCT " > " NUMBER("above") " - " NUMBER("margin"), "now()",
		    DISK_PCT, "'the disk is ' || round((" DISK_PCT ")::numeric) || ' % full'"},
	 .confirms = true},
	{.kind = "battery",
	 .device = {"s.battery_pct < " NUMBER("below") " and s.charging is not true",
		    "s.battery_pct < " NUMBER("below") " + " NUMBER("margin") " and s.charging is not true", "now()",
		    "s.battery_pct", "'the battery has ' || round(s.battery_pct::numeric) || ' % left'"},
	 .confirms = true},
	// Also of one that was revoked for it.
	{.kind = "fingerprint",
	 .whole =
		 "select d.device as object, d.device, 0 as cell, coalesce(d.mismatch_at, now()) as since,"
		 " d.mismatches::float8 as value, 'another machine uses its credential: ' || d.mismatches ||"
		 " case d.mismatches when 1 then ' connection' else ' connections' end || ' with another fingerprint'"
		 " as title from r join device d on d.tenant = r.tenant left join device_state s on s.device = d.device"
		 " where d.mismatches > 0 and d.mismatches >= " NUMBER("count") " and "},
	{.kind = "certificate",
	 .whole = "select d.device as object, d.device, 0 as cell, x.ends - make_interval(days =>"
		  " (r.params ->> 'days')::integer) as since, extract(epoch from x.ends - now()) / 86400 as value,"
		  " case when x.ends > now() then 'its certificate ends ' else 'its certificate ended ' end ||"
		  " " TIME("x.ends") " as title from r join (select device, max(not_after) as ends from (select device,"
				     " not_after from certificate where revoked_at is null and not_after between now() "
				     "- interval '30 days'"
				     " and now() + (select make_interval(days => (params ->> 'days')::integer) from "
				     "r)) k where not exists"
				     " (select from certificate n where n.device = k.device and n.revoked_at is null "
				     "and n.not_after > now()"
				     " + (select make_interval(days => (params ->> 'days')::integer) from r)) and not "
				     "exists (select from"
				     " bearer b where b.device = k.device and b.revoked_at is null and b.expires_at > "
				     "now()) group by device)"
				     " x on true join device d on d.device = x.device and d.tenant = r.tenant"
				     " left join device_state s on s.device = d.device where " DEVICE_TARGET_SQL
				     " and "},
	{.kind = "command",
	 .whole = "select d.device as object, d.device, 0 as cell, x.last as since, x.n::float8 as value, x.n ||"
		  " ' commands failed, expired or were rejected' as title from r join (select device, count(*) as n,"
		  " max(finished_at) as last from command where state in ('failed', 'rejected', 'expired') and"
		  " finished_at > now() - (select make_interval(secs => (params ->> 'window_s')::float8) from r)"
		  " group by device having count(*) >= (select (params ->> 'count')::bigint from r)) x on true"
		  " join device d on d.device = x.device and d.tenant = r.tenant"
		  " left join device_state s on s.device = d.device where " DEVICE_TARGET_SQL " and "},
	{.kind = "campaign",
	 .whole = "select 'campaign ' || c.id as object, null as device, 0 as cell, c.changed_at as since,"
		  " 100 * (c.failed + c.rejected)::float8 / nullif(c.succeeded + c.failed + c.rejected, 0) as value,"
		  " c.name || case when c.stopped then ' stopped: ' || c.reason else ': ' || (c.failed + c.rejected) ||"
		  " ' of ' || (c.succeeded + c.failed + c.rejected) || ' commands failed' end as title"
		  " from r join campaign c on coalesce(c.tenant, 'default') = r.tenant where"
		  " ((c.state = 'paused' and c.stopped) or (c.state = 'running' and c.succeeded + c.failed + "
		  "c.rejected >="
		  " (r.params ->> 'ended')::bigint and 100 * (c.failed + c.rejected)::float8 >"
		  " " NUMBER("error_pct") " * (c.succeeded + c.failed + c.rejected) and"
					  " c.failed + c.rejected > c.forgiven_errors)) and "},
	{.kind = "quarantine",
	 .whole = "select 'quarantine' as object, null as device, 0 as cell, x.last as since, x.n::float8 as value,"
		  " x.n || case when x.n >= (r.params ->> 'count')::bigint * 10 then ' or more' else '' end ||"
		  " ' messages could not be stored' as title from r join lateral (select count(*) as n,"
		  " max(received_at) as last from (select q.received_at from quarantine q left join device d"
		  " on d.device = q.device where q.received_at > now() - make_interval(secs =>"
		  " (r.params ->> 'window_s')::float8) and coalesce(d.tenant, 'default') = r.tenant"
		  " limit (r.params ->> 'count')::bigint * 10) l) x on x.n >= (r.params ->> 'count')::bigint where "},
	{.kind = "ingest",
	 .whole = "select 'cell ' || x.cell as object, null as device, 0 as cell, now() as since,"
		  " extract(epoch from now() - x.last) as value, 'nothing was taken in since ' || " TIME(
			  "x.last") " as title from r join (select cell, max(seen_at) as last from ingest_sight"
				    " where seen_at > now() - interval '30 days' group by cell) x"
				    " on x.last < now() - interval '10 seconds' where "},
	{.kind = "push",
	 .whole = "select f.object, null as device, 0 as cell, now() as since, null::float8 as value,"
		  " 'the push service is away: devices that sleep are not woken' as title from r join alert_fact f"
		  " on f.fact = 'push' and f.holds and f.at > now() - interval '1 minute' where "},
};

static const struct {
	const char *name, *sql;
} metrics[] = {
	{"battery_pct", "s.battery_pct::float8"},
	{"charging", "s.charging::integer::float8"},
	{"cpu_pct", "s.cpu_pct::float8"},
	{"load1", "s.load1::float8"},
	{"mem_total", "s.mem_total::float8"},
	{"mem_available", "s.mem_available::float8"},
	{"mem_used_pct", MEMORY_PCT},
	{"disk_total", "s.disk_total::float8"},
	{"disk_free", "s.disk_free::float8"},
	{"disk_used_pct", DISK_PCT},
	{"uptime_s", "s.uptime_s::float8"},
	{"rssi_dbm", "s.rssi_dbm::float8"},
	{"temperature_c", "s.temperature_c::float8"},
};
#define CUSTOM                                                                                                         \
	"(case when jsonb_typeof(s.custom -> (r.params ->> 'metric')) = 'number'"                                      \
	" then (s.custom ->> (r.params ->> 'metric'))::float8 end)"

const struct alert_sql *alert_sql_find(const char *kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].kind, kind) == 0)
			return &kinds[i];
	}
	return NULL;
}

bool alert_sql_is_slice(const struct alert_sql *sql)
{
	return sql->device.holds != NULL;
}

bool alert_sql_has_silence(const struct alert_sql *sql)
{
	return sql->silence;
}

bool alert_sql_confirms(const struct alert_sql *sql)
{
	return sql->confirms;
}

// No text of the rule becomes SQL: the metric's name picks a column, or is looked up in the custom ones as a value.
static const char *metric_sql(const char *metric)
{
	for (size_t i = 0; metric && i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		if (strcmp(metrics[i].name, metric) == 0)
			return metrics[i].sql;
	}
	return CUSTOM;
}

// As people say it: bytes in GB, seconds in hours.
static const char *scale_sql(const char *unit)
{
	return strcmp(unit, "B") == 0 ? "1e9::float8" : strcmp(unit, "s") == 0 ? "3600::float8" : "1::float8";
}

static const char *scaled(const char *unit)
{
	return strcmp(unit, "B") == 0 ? "GB" : strcmp(unit, "s") == 0 ? "h" : unit;
}

// METRIC is its value, in SQL; LABEL, UNIT and SCALE are what people call it, its unit, and what it is divided by.
static void add(struct buf *out, const char *text, const char *metric)
{
	static const char *const names[] = {"METRIC", "LABEL", "UNIT", "SCALE"};
	const struct alert_metric *known = metric ? alert_metric_find(metric) : NULL;
	const char *unit = known ? known->unit : "";

	while (*text) {
		size_t name = 0;

		while (name < 4 && strncmp(text, names[name], strlen(names[name])) != 0)
			name++;
		if (name == 0)
			(void)buf_add_str(out, metric_sql(metric));
		else if (name == 1 && known)
			(void)buf_addf(out, "'%s'", known->label);
		else if (name == 1)
			(void)buf_add_str(out, "(r.params ->> 'metric')");
		else if (name == 2)
			(void)buf_addf(out, "'%s%s'", *unit ? " " : "", scaled(unit));
		else if (name == 3)
			(void)buf_add_str(out, scale_sql(unit));
		else
			(void)buf_add(out, text, 1);
		text += name < 4 ? strlen(names[name]) : 1;
	}
}

#define RULE_SQL "with r as materialized (select * from alert_rule where id = $1), "
#define FOR_MS "coalesce((r.params ->> 'for_s')::float8 * 1000, 0)::bigint"

// What holds no more is let go at once when no alert was raised: "for a time" means without a break. Of one with an
// alert the break is noted, and when it has lasted, the alert is cleared.
// Each row of alert_watch is found by its key: when thousands come to hold at once, nobody has counted them yet, and
// what is planned for a handful would compare each with each.
static const char slice_sql[] =
	", gone as (delete from alert_watch w where w.rule = $1 and w.alert is null and w.object = any (array("
	"select object from c where not still))),"
	" noted as (update alert_watch w set over_at = case when c.still then null else now() end, held_at = now()"
	" from c where w.rule = $1 and w.object = c.object and case when w.alert is null then c.still"
	" else (w.over_at is null) <> c.still end)"
	" insert into alert_watch (rule, object, device, cell, since, due_ms, value, title)"
	" select $1, x.object, x.object, x.cell, x.since, coalesce(case when x.since < now() then"
	" alert_clock_at(x.cell, x.since) end, x.clock_ms, 0) + x.for_ms, x.value, coalesce(x.title, '') from (select "
	"c.object,"
	" c.cell, k.clock_ms, " FOR_MS " as for_ms, ";
static const char slice_end_sql[] =
	" as title from c cross join r join device_state s on s.device = c.object join device d on d.device = c.object"
	" left join alert_clock k on k.cell = c.cell left join lateral (select true as known from alert_watch w"
	" where w.rule = $1 and w.object = c.object limit 1) q on true where c.holds and q.known is null) x"
	" on conflict do nothing";

// What a person cleared does not come back for what had happened by then.
static const char whole_sql[] =
	", gone as (delete from alert_watch w where w.rule = $1 and w.alert is null"
	" and not exists (select from c where c.object = w.object)),"
	" noted as (update alert_watch w set over_at = case when w.over_at is null then now() end, held_at = now()"
	" where w.rule = $1 and w.alert is not null and (w.over_at is null) <> exists"
	" (select from c where c.object = w.object))"
	" insert into alert_watch (rule, object, device, cell, since, due_ms, value, title)"
	" select $1, c.object, c.device, c.cell, c.since, coalesce(k.clock_ms, 0) + " FOR_MS ", c.value, c.title"
	" from c cross join r left join alert_clock k on k.cell = c.cell where not exists (select from alert_watch w"
	" where w.rule = $1 and w.object = c.object) and not exists (select from alert a where a.rule = $1"
	" and a.object = c.object and a.state = 'cleared' and a.cleared_by <> '' and a.cleared_at >= c.since)"
	" on conflict do nothing";

static void watch_whole(const struct alert_sql *sql, const struct query *query, struct buf *out)
{
	(void)buf_addf(out, RULE_SQL "c as materialized (%s%s)%s", sql->whole,
		       strstr(sql->whole, "device_state s") ? buf_str(&query->sql) : "true", whole_sql);
}

void alert_sql_watch(const struct alert_sql *sql, const char *metric, bool silent, const struct query *query,
		     struct buf *out)
{
	const struct device_sql *device = &sql->device;

	if (!alert_sql_is_slice(sql)) {
		watch_whole(sql, query, out);
		return;
	}
	(void)buf_add_str(out,
			  RULE_SQL "c as materialized (select s.device as object, coalesce(s.cell, d.cell) as cell,"
				   " coalesce(d.tenant = r.tenant and " DEVICE_TARGET_SQL " and ");
	(void)buf_addf(out, "%s and (", buf_str(&query->sql));
	add(out, device->holds, metric);
	(void)buf_addf(out, "), false) as holds, coalesce(d.tenant = r.tenant and " DEVICE_TARGET_SQL " and %s and (",
		       buf_str(&query->sql));
	add(out, device->still, metric);
	(void)buf_add_str(out,
			  "), false) as still from device_state s join device d on d.device = s.device cross join r"
			  " where " ALERT_CHANGED_SQL("$2") " and s.changed_at <= $3::timestamptz"
							    " and s.changed_slot <= " ALERT_SLOT_SQL("$3"));
	if (silent)
		(void)buf_add_str(out,
				  " and (s.presence = 'online' or s.presence_why = 'sleep') and exists (select from"
				  " alert_clock k where k.cell = coalesce(s.cell, d.cell) and k.sees)");
	(void)buf_add_str(out, ")");
	(void)buf_add_str(out, slice_sql);
	add(out, device->since, metric);
	(void)buf_add_str(out, " as since, (");
	add(out, device->value, metric);
	(void)buf_add_str(out, ")::float8 as value, ");
	add(out, device->title, metric);
	(void)buf_add_str(out, slice_end_sql);
}

#define PREVIEW_FLEET                                                                                                  \
	" from device d left join device_state s on s.device = d.device cross join r where d.tenant = r.tenant "       \
	"and " DEVICE_TARGET_SQL " and "

void alert_sql_preview(const struct alert_sql *sql, const char *metric, const struct query *query, struct buf *out)
{
	(void)buf_add_str(out, "with r as materialized (select $1::jsonb as params, current_tenant() as tenant),"
			       " c as materialized (");
	if (alert_sql_is_slice(sql)) {
		(void)buf_add_str(out, "select d.device as object, coalesce(");
		add(out, sql->device.holds, metric);
		(void)buf_addf(out,
			       ", false) as holds" PREVIEW_FLEET "%s) select jsonb_build_object('devices', (select"
			       " count(*) from c), 'hits', ",
			       buf_str(&query->sql));
	} else {
		(void)buf_addf(
			out,
			"select object, true as holds from (%s%s) w) select jsonb_build_object('devices', (select"
			" count(*)" PREVIEW_FLEET "%s), 'hits', ",
			sql->whole, buf_str(&query->sql), buf_str(&query->sql));
	}
	(void)buf_add_str(out,
			  "(select count(*) from c where holds), 'examples', coalesce((select jsonb_agg(object) from"
			  " (select object from c where holds order by object limit 5) x), '[]'))");
}
