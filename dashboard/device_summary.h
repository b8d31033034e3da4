// What is said of a device d with its device_state s (left join) in lists and in the live stream, as SQL.
#pragma once

#include "common/device_sql.h"

// The evidence behind the status, in one sentence, and the next step where there is one.
#define DEVICE_WHY_SQL \
	"case when not d.enabled then 'It is revoked' || coalesce(' (' || nullif(d.disabled_reason, '') || ')', '')" \
	" || ': the broker refuses it until it is restored or enrolled again.'" \
	" else case " DEVICE_STATUS_SQL \
	" when 'never' then 'It is registered but has never been in contact: start its agent, or check that it" \
	" reaches the broker.'" \
	" when 'offline' then case s.presence_why" \
	" when 'will' then 'The broker lost its connection without a goodbye: network, power or a crash.'" \
	" when 'goodbye' then 'It said goodbye: it was shut down, restarted or told to disconnect.'" \
	" when 'sleep' then case when s.last_seen + 2 * s.interval_s * interval '1 second' < now()" \
	" then 'It went to sleep, and its heartbeat is overdue: no power, no network, or a crash.'" \
	" else format('It sleeps until its next heartbeat (every %s s) or until it is woken.'," \
	" coalesce(s.interval_s, 60)) end" \
	" when 'kick' then 'Its session was cut because it is disabled or its certificate revoked.'" \
	" when 'broker-restart' then 'The broker or the way to it was interrupted, and it has not come back since.'" \
	" when 'status' then 'Its status topic says offline: it said goodbye, or the broker published its will'" \
	" || ' after the connection broke.' else 'Its session with the broker has ended.' end" \
	" when 'stale' then format('Its session is open, but nothing came for more than 3 of its intervals'" \
	" || ' (%s s each): asleep, overloaded or behind a broken link.', coalesce(s.interval_s, 60))" \
	" else case s.presence_why when 'hello' then 'It connected, said hello and reports as it should.'" \
	" when 'status' then 'Its status topic says online and its messages arrive.'" \
	" else 'Its messages arrive.' end end end"

// Silence is evidence of its own, and older than none.
#define DEVICE_EVIDENCE_SQL \
	"case when " DEVICE_STATUS_SQL " = 'stale' then 'silence' else nullif(s.presence_why, '') end"

#define DEVICE_LATEST_SQL \
	"json_strip_nulls(json_build_object('ts', s.ts, 'battery_pct', s.battery_pct, 'charging', s.charging," \
	" 'cpu_pct', s.cpu_pct, 'load1', s.load1, 'mem_total', s.mem_total, 'mem_available', s.mem_available," \
	" 'disk_total', s.disk_total, 'disk_free', s.disk_free, 'uptime_s', s.uptime_s," \
	" 'network_type', s.network_type, 'rssi_dbm', s.rssi_dbm, 'temperature_c', s.temperature_c," \
	" 'custom', s.custom))"

#define DEVICE_SUMMARY_SQL \
	"json_build_object('device', d.device, 'display_name', d.display_name, 'tags', d.tags," \
	" 'enabled', d.enabled, 'disabled', " DEVICE_DISABLED_SQL ", 'status', " DEVICE_STATUS_SQL "," \
	" 'presence', coalesce(s.presence, 'never'), 'why', " DEVICE_WHY_SQL "," \
	" 'evidence', " DEVICE_EVIDENCE_SQL ", 'session', s.session, 'since', s.presence_since," \
	" 'first_seen', s.first_seen," \
	" 'last_seen', " DEVICE_SEEN_SQL "," \
	" 'stale_at', " DEVICE_STALE_AT_SQL "," \
	" 'interval_s', s.interval_s, 'agent_version', s.agent_version, 'changed_at', s.changed_at," \
	" 'latest', " DEVICE_LATEST_SQL ")"

#define DEVICE_DISABLED_SQL \
	"case when not d.enabled then json_build_object('at', d.disabled_at, 'by', d.disabled_by, 'reason'," \
	" d.disabled_reason) end"
#define DEVICE_STALE_AT_SQL \
	"case when s.presence = 'online' then " DEVICE_SEEN_SQL " + " DEVICE_SILENCE_SQL " end"
