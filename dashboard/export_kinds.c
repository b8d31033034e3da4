#include "dashboard/export_kinds.h"

#include "common/device_sql.h"

#include <string.h>

#define OF_DEVICE " join device d on d.device = x.device left join device_state s on s.device = d.device"

static const struct export_column devices[] = {
	{"device", "d.device", EXPORT_TEXT},
	{"display_name", "d.display_name", EXPORT_TEXT},
	{"tags", "to_json(d.tags)", EXPORT_DATA},
	{"status", DEVICE_STATUS_SQL, EXPORT_TEXT},
	{"enabled", "d.enabled", EXPORT_BOOL},
	{"since", "s.presence_since", EXPORT_TIME},
	{"first_seen", "s.first_seen", EXPORT_TIME},
	{"last_seen", DEVICE_SEEN_SQL, EXPORT_TIME},
	{"enrolled_at", "d.enrolled_at", EXPORT_TIME},
	{"agent_version", "s.agent_version", EXPORT_TEXT},
	{"cell", "d.cell", EXPORT_NUMBER},
	{"battery_pct", "s.battery_pct", EXPORT_NUMBER},
	{"charging", "s.charging", EXPORT_BOOL},
	{"cpu_pct", "s.cpu_pct", EXPORT_NUMBER},
	{"load1", "s.load1", EXPORT_NUMBER},
	{"mem_total", "s.mem_total", EXPORT_NUMBER},
	{"mem_available", "s.mem_available", EXPORT_NUMBER},
	{"disk_total", "s.disk_total", EXPORT_NUMBER},
	{"disk_free", "s.disk_free", EXPORT_NUMBER},
	{"uptime_s", "s.uptime_s", EXPORT_NUMBER},
	{"network_type", "s.network_type", EXPORT_TEXT},
	{"rssi_dbm", "s.rssi_dbm", EXPORT_NUMBER},
	{"temperature_c", "s.temperature_c", EXPORT_NUMBER},
	{"custom", "s.custom", EXPORT_DATA},
};
static const struct export_column telemetry[] = {
	{"device", "x.device", EXPORT_TEXT},
	{"measured_at", "x.measured_at", EXPORT_TIME},
	{"received_at", "x.received_at", EXPORT_TIME},
	{"battery_pct", "x.battery_pct", EXPORT_NUMBER},
	{"charging", "x.charging", EXPORT_BOOL},
	{"cpu_pct", "x.cpu_pct", EXPORT_NUMBER},
	{"load1", "x.load1", EXPORT_NUMBER},
	{"mem_total", "x.mem_total", EXPORT_NUMBER},
	{"mem_available", "x.mem_available", EXPORT_NUMBER},
	{"disk_total", "x.disk_total", EXPORT_NUMBER},
	{"disk_free", "x.disk_free", EXPORT_NUMBER},
	{"uptime_s", "x.uptime_s", EXPORT_NUMBER},
	{"network_type", "x.network_type", EXPORT_TEXT},
	{"rssi_dbm", "x.rssi_dbm", EXPORT_NUMBER},
	{"temperature_c", "x.temperature_c", EXPORT_NUMBER},
	{"custom", "x.custom", EXPORT_DATA},
	{"epoch", "x.epoch", EXPORT_TEXT},
	{"seq", "x.seq", EXPORT_NUMBER},
};
static const struct export_column commands[] = {
	{"id", "x.id", EXPORT_TEXT},
	{"device", "x.device", EXPORT_TEXT},
	{"action", "x.action", EXPORT_TEXT},
	{"params", "x.params", EXPORT_DATA},
	{"state", "x.state", EXPORT_TEXT},
	{"reason", "x.reason", EXPORT_TEXT},
	{"requested_by", "x.requested_by", EXPORT_TEXT},
	{"source", "x.source", EXPORT_TEXT},
	{"request_id", "x.request_id", EXPORT_TEXT},
	{"created_at", "x.created_at", EXPORT_TIME},
	{"sent_at", "x.sent_at", EXPORT_TIME},
	{"finished_at", "x.finished_at", EXPORT_TIME},
	{"expires_at", "x.expires_at", EXPORT_TIME},
	{"attempts", "x.attempts", EXPORT_NUMBER},
	{"campaign", "x.campaign", EXPORT_NUMBER},
	{"result", "x.result", EXPORT_DATA},
};
static const struct export_column events[] = {
	{"device", "x.device", EXPORT_TEXT},
	{"measured_at", "x.measured_at", EXPORT_TIME},
	{"received_at", "x.received_at", EXPORT_TIME},
	{"type", "x.type", EXPORT_TEXT},
	{"body", "x.body", EXPORT_DATA},
	{"epoch", "x.epoch", EXPORT_TEXT},
	{"seq", "x.seq", EXPORT_NUMBER},
};
static const struct export_column audit[] = {
	{"id", "x.id", EXPORT_NUMBER},
	{"at", "x.at", EXPORT_TIME},
	{"actor", "x.actor", EXPORT_TEXT},
	{"action", "x.action", EXPORT_TEXT},
	{"target", "x.target", EXPORT_TEXT},
	{"peer", "x.peer", EXPORT_TEXT},
	{"request_id", "x.request_id", EXPORT_TEXT},
	{"detail", "x.detail", EXPORT_DATA},
};

#define COLUMNS(table) table, sizeof(table) / sizeof((table)[0])
static const struct export_kind kinds[] = {
	{"devices", "device d left join device_state s on s.device = d.device", NULL, "d.device", true,
	 COLUMNS(devices)},
	{"telemetry", "telemetry x" OF_DEVICE, "x.measured_at", "x.device, x.measured_at desc", true,
	 COLUMNS(telemetry)},
	{"commands", "command x" OF_DEVICE, "x.created_at", "x.created_at desc, x.id", true, COLUMNS(commands)},
	{"events", "event x" OF_DEVICE, "x.measured_at", "x.measured_at desc", true, COLUMNS(events)},
	{"audit", "audit x", "x.at", "x.id", false, COLUMNS(audit)},
};

const struct export_kind *export_kind_find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	return NULL;
}

const struct export_column *export_column_find(const struct export_kind *kind, const char *name)
{
	for (size_t i = 0; i < kind->column_count; i++) {
		if (strcmp(kind->columns[i].name, name) == 0)
			return &kind->columns[i];
	}
	return NULL;
}

bool export_statement(const struct export_kind *kind, const struct export_column *const *columns, size_t count,
		      const struct query *query, struct buf *out)
{
	buf_init(out, EXPORT_STATEMENT_MAX);
	(void)buf_add_str(out, "select ");
	for (size_t i = 0; i < count; i++)
		(void)buf_addf(out,
			       columns[i]->type == EXPORT_TIME
				       ? "%sto_char((%s) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
				       : "%s(%s)",
			       i > 0 ? ", " : "", columns[i]->sql);
	(void)buf_addf(out, " from %s where ", kind->from);
	(void)buf_add_str(out, kind->by_device ? "($1::text is null or d.device = $1)" : "$1::text is null");
	if (kind->time)
		(void)buf_addf(out,
			       " and ($2::bigint is null or %s >= timestamptz 'epoch' + $2 * interval '1 ms')"
			       " and ($3::bigint is null or %s < timestamptz 'epoch' + $3 * interval '1 ms')",
			       kind->time, kind->time);
	else
		(void)buf_add_str(out, " and $2::bigint is null and $3::bigint is null");
	if (query)
		(void)buf_addf(out, " and %s", buf_str(&query->sql));
	return buf_addf(out, " order by %s", kind->order);
}
