#include "ingest/state.h"

#define EVIDENCE_COLUMNS "up_why, up_at, up_session, up_firm, down_why, down_at, down_session, down_firm"
enum { EVIDENCE_COLUMN_COUNT = 8 };

#define OWN_COLUMNS "last_seen, interval_s, agent_version, certificate, trust, signers, ts, " READING_COLUMNS
enum { OWN_COLUMN_COUNT = 7 + READING_COLUMN_COUNT };

#define STAGE_SQL                                                                                       \
	"create temporary table stage_device on commit delete rows as select 0 as number, device, "     \
	"''::text as up_why, now() as up_at, 0::bigint as up_session, false as up_firm, "               \
	"''::text as down_why, now() as down_at, 0::bigint as down_session, false as down_firm, "       \
	OWN_COLUMNS " from device_state where false"

#define COPY_SQL "copy stage_device (number, device, " EVIDENCE_COLUMNS ", " OWN_COLUMNS ") from stdin (format binary)"

#define REGISTER_SQL                                                                      \
	"insert into device (device) select device from stage_device s where not exists " \
	"(select from device d where d.device = s.device) order by device on conflict do nothing"

// That a disabled device has gone is worth knowing.
#define STRANGERS_SQL                                                                                   \
	"select s.number, case when d.device is null then 'unknown device' else 'disabled device' end " \
	"from stage_device s left join device d on d.device = s.device where d.enabled is not true "    \
	"and (d.device is null or s.last_seen is not null or s.up_at is not null or s.down_at is null)"

// A value is taken over when its reading is not older than the one known, or when none was known.
#define NEWER(column)                                                                                              \
	column " = case when s.ts >= d.ts or d." column " is null then coalesce(s." column ", d." column ") else d." \
	column " end, "

// Of a connection that is newer than the one known, or of that one while it lasts: what comes again after its end (from
// the broker, or to another program of a group) is old. A device that counts anew is believed when it is heard live.
// One that does not count may have moved to another cell ($7 is ours): then the broker that it has left is not
// believed.
#define ELSEWHERE "d.cell <> $7::integer"
#define UP                                                                                                      \
	"(s.up_at is not null and coalesce(s.up_session > d.session or (s.up_session = d.session and "          \
	"d.presence <> 'offline') or (s.up_session < d.session and s.up_firm), "                       \
	"s.up_firm or not " ELSEWHERE ", true))"
// A device that was never seen and sends something is online by that evidence; of others, status and hello decide.
#define FIRST "(d.presence = 'never' and s.last_seen is not null)"
#define SESSION "case when " UP " then coalesce(s.up_session, d.session) else d.session end"
#define DOWN                                                                       \
	"(s.down_at is not null and not coalesce(s.down_session < " SESSION ", not " UP \
	" and " ELSEWHERE ", false))"
#define GONE "(" DOWN " and s.down_firm)"
#define PRESENCE "case when " GONE " then 'offline' when " UP " or " FIRST " then 'online' else d.presence end"

// Not when it is offline already.
#define HOLD "(" DOWN " and not s.down_firm and (" UP " or " FIRST " or d.presence <> 'offline'))"
#define LIVES "(" UP " or " GONE " or (d.held_grace and s.last_seen is not null))"
// Until the grace is over, unless the device has come online in this very connection of ours.
#define LATER "($5::boolean and not (" UP " and s.up_firm) and d.presence_by is distinct from $2)"
#define LATER_WHY                                                                                   \
	"case when " LATER " and $6::boolean and s.down_why in ('will', 'status') then 'broker-restart' " \
	"else s.down_why end"
#define HELD(column, value) column " = case when " HOLD " then " value " when not " LIVES " then d." column " end, "

// What is ahead of the clock, which was set back meanwhile, is as good as now.
#define SEEN                                                 \
	"first_seen = coalesce(d.first_seen, s.last_seen), " \
	"last_seen = greatest(least(d.last_seen, now()), s.last_seen), "
#define CHANGED "ts = greatest(d.ts, s.ts), changed_at = now() from stage_device s where d.device = s.device "

#define VALUES                                                                                                \
	SEEN "interval_s = coalesce(s.interval_s, d.interval_s), "                                                 \
	"agent_version = coalesce(s.agent_version, d.agent_version), "                                        \
	"certificate = coalesce(s.certificate, d.certificate), trust = coalesce(s.trust, d.trust), "          \
	"signers = coalesce(s.signers, d.signers), "                                                          \
	NEWER("battery_pct") NEWER("charging") NEWER("cpu_pct") NEWER("load1") NEWER("mem_total")             \
	NEWER("mem_available") NEWER("disk_total") NEWER("disk_free") NEWER("uptime_s") NEWER("network_type") \
	NEWER("rssi_dbm") NEWER("temperature_c") NEWER("custom")                                              \
	CHANGED

// The common case, of devices that are known and only report, no reading older than the one known: it is as short as
// it can be, because each device of each batch pays for it. Who says hello is told to be up, so that nothing of a hello
// is here; naming the certificate alone would have the trigger look at both rows. "on conflict" would lock each row
// first, at half the speed.
#define UNMOVED                                                                                    \
	"(d.presence <> 'never' and d.held_by is null and s.up_at is null and s.down_at is null " \
	"and coalesce(s.ts >= d.ts, true))"
#define TAKEN(column) column " = coalesce(s." column ", d." column "), "
#define QUIET_SQL                                                                                             \
	"update device_state d set " SEEN TAKEN("battery_pct") TAKEN("charging") TAKEN("cpu_pct")             \
	TAKEN("load1") TAKEN("mem_total") TAKEN("mem_available") TAKEN("disk_total") TAKEN("disk_free")       \
	TAKEN("uptime_s") TAKEN("network_type") TAKEN("rssi_dbm") TAKEN("temperature_c") TAKEN("custom")      \
	CHANGED "and " UNMOVED

#define UPDATE_SQL                                                                                                 \
	"with told as (update device_state d set presence = " PRESENCE ", "                                        \
	"presence_why = case when " GONE " then s.down_why when " UP " then s.up_why when " FIRST                  \
	" then 'message' else d.presence_why end, "                                                                \
	"presence_since = case when " PRESENCE " = d.presence then d.presence_since when " GONE " then s.down_at " \
	"when " UP " then s.up_at else s.last_seen end, "                                                          \
	"session = case when " GONE " then greatest(s.down_session, " SESSION ") else " SESSION " end, "           \
	"presence_by = case when " UP " and s.up_firm then $2 else d.presence_by end, "                            \
	"cell = case when " UP " or " FIRST " then $7::integer else d.cell end, "                                  \
	"presence_before = d.presence_count, "                                                                     \
	"presence_count = d.presence_count + (" PRESENCE " <> d.presence)::integer, "                              \
	HELD("held_by", "$1") HELD("held_due_ms", "case when " LATER " then $4::bigint else $3::bigint end")       \
	HELD("held_grace", LATER) HELD("held_why", LATER_WHY) HELD("held_session", "s.down_session")               \
	HELD("held_at", "s.down_at") VALUES "and not " UNMOVED                                                     \
	" returning " STATE_TOLD_SQL("d") "), " STATE_EVENTS_SQL " select count(*) from told"

// Devices without a row yet.
#define NEW_LATER "($5::boolean and s.up_firm is not true)"
#define NEW_PRESENCE                                                                                    \
	"case when s.down_firm then 'offline' when coalesce(s.up_at, s.last_seen) is not null then 'online' " \
	"else 'never' end"
#define NEW_HELD(value) "case when not s.down_firm then " value " end, "
#define INSERT_SQL                                                                                                     \
	"with told as (insert into device_state as d (device, presence, presence_why, presence_since, session, "       \
	"presence_by, cell, presence_count, held_by, held_due_ms, held_grace, held_why, held_session, held_at, "       \
	"first_seen, " OWN_COLUMNS ") select device, " NEW_PRESENCE ", "                                               \
	"case when s.down_firm then s.down_why else coalesce(s.up_why, case when s.last_seen is null then '' "         \
	"else 'message' end) end, case when s.down_firm then s.down_at else coalesce(s.up_at, s.last_seen) end, "      \
	"case when s.down_firm then greatest(s.down_session, s.up_session) else s.up_session end, "                    \
	"case when s.up_firm then $2 end, $7::integer, (" NEW_PRESENCE " <> 'never')::integer, " NEW_HELD("$1")        \
		NEW_HELD("case when " NEW_LATER " then $4::bigint else $3::bigint end") NEW_HELD(NEW_LATER)            \
			NEW_HELD("case when " NEW_LATER " and $6::boolean and s.down_why in ('will', "                 \
				 "'status') then 'broker-restart' else s.down_why end") NEW_HELD("s.down_session")     \
				NEW_HELD("s.down_at") "last_seen, " OWN_COLUMNS                                        \
						      " from stage_device s where not exists "                         \
						      "(select from device_state o where o.device = s.device) order "  \
						      "by device on conflict do nothing "                              \
						      "returning " STATE_TOLD_SQL("d") "), " STATE_EVENTS_SQL          \
										       " select count(*) from told"

bool state_prepare(struct pg *pg, struct error *error)
{
	return pg_exec(pg, STAGE_SQL, error) && pg_prepare(pg, "state_register", REGISTER_SQL, error) &&
	       pg_prepare(pg, "state_strangers", STRANGERS_SQL, error) &&
	       pg_prepare(pg, "state_quiet", QUIET_SQL, error) &&
	       pg_prepare(pg, "state_update", UPDATE_SQL, error) &&
	       pg_prepare(pg, "state_insert", INSERT_SQL, error);
}

static void copy_time_or_null(struct copy *copy, int64_t wall_ms, bool given)
{
	if (given)
		copy_time(copy, wall_ms);
	else
		copy_null(copy);
}

static void write_evidence(struct copy *copy, const struct evidence *evidence)
{
	copy_text(copy, evidence->why);
	copy_time_or_null(copy, evidence->at_ms, evidence->why);
	if (evidence->session > 0)
		copy_int8(copy, evidence->session);
	else
		copy_null(copy);
	if (evidence->why)
		copy_bool(copy, evidence->firm);
	else
		copy_null(copy);
}

static void write_device(struct copy *copy, size_t number, const struct device_summary *device)
{
	copy_row(copy, 2 + EVIDENCE_COLUMN_COUNT + OWN_COLUMN_COUNT);
	copy_int4(copy, (int32_t)number);
	copy_text(copy, device->device);
	write_evidence(copy, &device->online);
	write_evidence(copy, &device->offline);
	copy_time_or_null(copy, device->seen_ms, device->seen_ms > 0);
	if (device->interval_s > 0)
		copy_int4(copy, device->interval_s);
	else
		copy_null(copy);
	copy_text(copy, device->agent_version);
	copy_text(copy, device->certificate);
	copy_text(copy, device->trust);
	if (device->has_signers)
		copy_int8(copy, device->signers);
	else
		copy_null(copy);
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

bool state_update(struct pg *pg, const struct summary *summary, const struct presence_params *presence,
		  struct error *error)
{
	static const char *const moves[] = {"state_update", "state_insert"};
	auto_pg_result struct pg_result *quiet = NULL;
	if (!pg_run(pg, &quiet, error, "state_quiet", 0, NULL))
		return false;
	size_t count = pg_affected(quiet);
	for (size_t i = 0; i < 2 && count < summary->device_count; i++) {
		auto_pg_result struct pg_result *told = NULL;
		if (!pg_run(pg, &told, error, moves[i], PRESENCE_PARAMS, presence->values))
			return false;
		count += (size_t)pg_int(told, 0, 0);
	}
	return count == summary->device_count ||
	       error_set(error, ERROR_FAILED, "another program met the same new device at the same time");
}
