// The status of a device d with its device_state s (which may be null) in SQL: online, stale, offline or never. Three
// intervals without a message make an online device stale; one that has not told its interval (a plain MQTT client)
// is given a minute.
#pragma once

// A clock that was set back must not let anything be seen in the future.
#define DEVICE_SEEN_SQL "(case when s.last_seen > now() then now() else s.last_seen end)"
#define DEVICE_SILENCE_SQL "3 * coalesce(s.interval_s, 60) * interval '1 second'"
#define DEVICE_STATUS_SQL                                                       \
	"case when s.presence is null or s.presence = 'never' then 'never'"     \
	" when s.presence = 'offline' then 'offline'"                           \
	" when " DEVICE_SEEN_SQL " < now() - " DEVICE_SILENCE_SQL " then 'stale' else 'online' end"

// The same of a row r of device_roster (db/migrations/0028_roster.sql).
#define DEVICE_ROSTER_STATUS_SQL                                                                             \
	"case r.presence when 2 then case when r.stale_at < now() then 'stale' else 'online' end when 1 then" \
	" 'offline' else 'never' end"
// How many there are of each status, as members of an object.
#define DEVICE_ROSTER_COUNTS_SQL                                                                                \
	"'online', count(*) filter (where r.presence = 2 and (r.stale_at < now()) is not true),"                \
	" 'stale', count(*) filter (where r.presence = 2 and r.stale_at < now()),"                              \
	" 'offline', count(*) filter (where r.presence = 1), 'never', count(*) filter (where r.presence = 0),"  \
	" 'revoked', count(*) filter (where not r.enabled)"
// Whether it has a tag (the parameter first), and whether a text (the parameter between) stands in its id, name or
// tags.
// Both are the cheapest forms for a scan, and LIKE is estimated well, so that what is rare is not looked for in the
// order of the key.
#define DEVICE_ROSTER_TAG_SQL " = any (r.tags)"
#define DEVICE_ROSTER_FOUND_SQL "r.search like '%' || regexp_replace(lower("
#define DEVICE_ROSTER_FOUND_END_SQL "), '([\\\\%_])', '\\\\\\1', 'g') || '%'"

// Whether a device d may be commanded together with others: enabled, and no canary of the broker's, which only proves
// that revocations hold.
#define DEVICE_TARGET_SQL "(d.enabled and not (d.tags @> array['canary'] and d.device ~ '^canary-[0-9]+$'))"
