#include "ingest/state.h"

#define OWN_COLUMNS                                                                                  \
	"device, presence, presence_why, presence_since, last_seen, interval_s, agent_version, ts, " \
	READING_COLUMNS
enum { OWN_COLUMN_COUNT = 8 + READING_COLUMN_COUNT };

#define STAGE_SQL                                                                                       \
	"create temporary table stage_device on commit delete rows as select 0 as number, " OWN_COLUMNS \
	" from device_state where false"

#define COPY_SQL "copy stage_device (number, " OWN_COLUMNS ") from stdin (format binary)"

#define REGISTER_SQL                                                                      \
	"insert into device (device) select device from stage_device s where not exists " \
	"(select from device d where d.device = s.device) order by device on conflict do nothing"

#define STRANGERS_SQL                                                                                   \
	"select s.number, case when d.device is null then 'unknown device' else 'disabled device' end " \
	"from stage_device s left join device d on d.device = s.device where d.enabled is not true"

// A value is taken over when its reading is not older than the one known, or when none was known.
#define NEWER(column)                                                                                                  \
	column " = case when excluded.ts >= d.ts or d." column " is null then coalesce(excluded." column ", d." column \
	       ") else d." column " end, "

// Whether what is staged outweighs the presence known.
#define TELLS                                                                                  \
	"(excluded.presence_why in ('hello', 'status') or (excluded.presence_why = 'message' " \
	"and d.presence = 'never'))"

// A device that was never seen and sends something is online by that evidence; of others, status and hello decide.
#define UPDATE_SQL                                                                                               \
	"insert into device_state as d (" OWN_COLUMNS ", first_seen) "                                           \
	"select device, coalesce(presence, case when last_seen is null then 'never' else 'online' end), "        \
	"coalesce(presence_why, case when last_seen is null then '' else 'message' end), "                       \
	"coalesce(presence_since, last_seen), last_seen, interval_s, agent_version, ts, " READING_COLUMNS        \
	", last_seen from stage_device order by device "                                                         \
	"on conflict (device) do update set "                                                                    \
	"presence = case when " TELLS " then excluded.presence else d.presence end, "                            \
	"presence_why = case when " TELLS " then excluded.presence_why else d.presence_why end, "                \
	"presence_since = case when " TELLS " and excluded.presence <> d.presence then excluded.presence_since " \
	"else d.presence_since end, "                                                                            \
	"first_seen = coalesce(d.first_seen, excluded.first_seen), "                                             \
	"last_seen = greatest(d.last_seen, excluded.last_seen), "                                                \
	"interval_s = coalesce(excluded.interval_s, d.interval_s), "                                             \
	"agent_version = coalesce(excluded.agent_version, d.agent_version), "                                    \
	NEWER("battery_pct") NEWER("charging") NEWER("cpu_pct") NEWER("load1") NEWER("mem_total")                \
	NEWER("mem_available") NEWER("disk_total") NEWER("disk_free") NEWER("uptime_s") NEWER("network_type")    \
	NEWER("rssi_dbm") NEWER("temperature_c") NEWER("custom")                                                 \
	"ts = greatest(d.ts, excluded.ts), changed_at = now()"

bool state_prepare(struct pg *pg, struct error *error)
{
	return pg_exec(pg, STAGE_SQL, error) && pg_prepare(pg, "state_register", REGISTER_SQL, error) &&
	       pg_prepare(pg, "state_strangers", STRANGERS_SQL, error) &&
	       pg_prepare(pg, "state_update", UPDATE_SQL, error);
}

static void copy_time_or_null(struct copy *copy, int64_t wall_ms, bool given)
{
	if (given)
		copy_time(copy, wall_ms);
	else
		copy_null(copy);
}

static void write_device(struct copy *copy, size_t number, const struct device_summary *device)
{
	copy_row(copy, 1 + OWN_COLUMN_COUNT);
	copy_int4(copy, (int32_t)number);
	copy_text(copy, device->device);
	copy_text(copy, device->presence);
	copy_text(copy, device->presence_why);
	copy_time_or_null(copy, device->presence_ms, device->presence);
	copy_time_or_null(copy, device->seen_ms, device->seen_ms > 0);
	if (device->interval_s > 0)
		copy_int4(copy, device->interval_s);
	else
		copy_null(copy);
	copy_text(copy, device->agent_version);
	copy_time_or_null(copy, device->reading_ms, device->has_reading);
	reading_write(copy, &device->reading);
}

bool state_stage(struct copy *copy, struct pg *pg, const struct summary *summary, bool auto_register,
		 struct pg_result **strangers, struct error *error)
{
	if (!copy_start(copy, pg, COPY_SQL, error))
		return false;
	for (size_t i = 0; i < summary->device_count; i++)
		write_device(copy, i, summary->devices[i]);
	if (!copy_end(copy, error))
		return false;
	if (auto_register && !pg_run(pg, NULL, error, "state_register", 0, NULL))
		return false;
	return pg_run(pg, strangers, error, "state_strangers", 0, NULL);
}

bool state_update(struct pg *pg, struct error *error)
{
	return pg_run(pg, NULL, error, "state_update", 0, NULL);
}
