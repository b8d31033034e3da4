// What each kind of alert rule looks for, in SQL: for commander, which raises alerts, and for the dashboard, which
// shows what a rule would hit. In it r is the rule's row (alert_rule), d a device and s its state.
#pragma once

#include "common/query.h"

#include <stdbool.h>

// Appends the statement that brings alert_watch up to date for one rule: it gets who has come to hold, notes who has
// ceased to, and forgets who did so too early.
//
// Two ways lead there. Kinds about what a device reports look at the devices that changed in a slice of time: $1 rule,
// $2 behind which time, $3 up to which. All others find everything that holds by an index, and what they do not find
// does not hold: $1 rule only. Parameters of the query follow from ALERT_SLICE_PARAMS + 1 or ALERT_WHOLE_PARAMS + 1 on.
enum { ALERT_SLICE_PARAMS = 3, ALERT_WHOLE_PARAMS = 1, ALERT_PREVIEW_PARAMS = 1 };

// That a state s changed after a time, found by the index on the slot of ten seconds that it changed in.
#define ALERT_SLOT_SQL(at)                                                                                             \
	"floor(extract(epoch from least(greatest(" at "::timestamptz, 'epoch'), 'epoch'"                               \
	"::timestamptz + interval '10000 years')) / 10)::bigint"
#define ALERT_CHANGED_SQL(at) "s.changed_at > " at "::timestamptz and s.changed_slot >= " ALERT_SLOT_SQL(at)

struct alert_sql;

const struct alert_sql *alert_sql_find(const char *kind); // NULL: there is no such kind
bool alert_sql_is_slice(const struct alert_sql *sql);
// Of silence nothing is reported: devices that last changed before $3 are to be looked at, too.
bool alert_sql_has_silence(const struct alert_sql *sql);
// It counts only when the device said so once more at the end of the time.
bool alert_sql_confirms(const struct alert_sql *sql);
// metric: of the rule's parameters; NULL for other kinds. silent: the statement for silence instead.
void alert_sql_watch(const struct alert_sql *sql, const char *metric, bool silent, const struct query *query,
		     struct buf *out);
// Appends the statement that says for how many devices a rule would hold now, without regard to time: one row of
// {"devices": that the query matches, "hits", "examples": the first five}. $1: the rule's parameters as JSON; those of
// the query follow from ALERT_PREVIEW_PARAMS + 1 on. Of kinds about devices only; the tenant is the asker's.
void alert_sql_preview(const struct alert_sql *sql, const char *metric, const struct query *query, struct buf *out);
