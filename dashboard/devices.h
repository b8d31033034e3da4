// Devices: the list, one device with all that is known of it, and its telemetry for charts.
#pragma once

#include "common/http.h"

http_handler devices_list; // GET /api/v1/devices
http_handler devices_get;  // GET /api/v1/devices/{id}

// The status of a device d with its device_state s (which may be null): online, stale, offline or never. Three
// intervals without a message make an online device stale; one that has not told its interval (a plain MQTT client)
// is given a minute.
// A clock that was set back must not let anything be seen in the future.
#define DEVICES_SEEN_SQL "(case when s.last_seen > now() then now() else s.last_seen end)"
#define DEVICES_SILENCE_SQL "3 * coalesce(s.interval_s, 60) * interval '1 second'"
#define DEVICES_STATUS_SQL \
	"case when s.presence is null or s.presence = 'never' then 'never'" \
	" when s.presence = 'offline' then 'offline'" \
	" when " DEVICES_SEEN_SQL " < now() - " DEVICES_SILENCE_SQL " then 'stale' else 'online' end"

// What the live stream asks: summaries of devices changed, revoked or restored after $1 (microseconds since 1970), the
// latest first, at most $2. Columns: key, when in microseconds, JSON.
extern const char devices_changed_sql[];
