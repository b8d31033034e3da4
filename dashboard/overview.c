#include "dashboard/overview.h"

#include "common/device_sql.h"
#include "dashboard/dashboard.h"

#define ENDED_BADLY "('failed', 'rejected', 'expired')"
#define COUNTED_MAX "100001" // of what may grow without end no more is counted

// One scan of the roster, which may be 2 s behind, as is the list to which these numbers lead.
static const char devices_sql[] =
	"select json_build_object('total', count(*), " DEVICE_ROSTER_COUNTS_SQL ") from device_roster r";

static const char commands_sql[] =
	"select json_build_object('total', count(*),"
	"  'open', count(*) filter (where state in ('requested', 'queued', 'sent', 'accepted', 'running')),"
	"  'succeeded', count(*) filter (where state = 'succeeded'),"
	"  'failed', count(*) filter (where state in " ENDED_BADLY "),"
	"  'cancelled', count(*) filter (where state = 'cancelled'))"
	" from command where created_at >= date_trunc('day', now() at time zone 'UTC') at time zone 'UTC'";

static const char ledger_sql[] =
	"with sums as (select coalesce(sum(received), 0)::bigint received,"
	"  coalesce(sum(duplicates), 0)::bigint duplicates, coalesce(sum(dropped), 0)::bigint dropped,"
	"  coalesce(sum(highest - contiguous), 0)::bigint open, coalesce(sum(late), 0)::bigint late from ledger),"
	" missing as (select coalesce(sum(to_seq - from_seq + 1), 0)::bigint lost from ledger_gap"
	"  where state = 'lost'),"
	// The rate is that since a sample some time ago.
	" before as (select at, sum(received)::bigint received from fleet_sample"
	"  where at between now() - interval '5 minutes' and now() - interval '20 seconds'"
	"  group by at order by at desc limit 1)"
	" select json_build_object('stored', s.received - duplicates, 'received', s.received, 'duplicates', duplicates,"
	"  'lost', dropped + missing.lost, 'open', open, 'late', late,"
	"  'per_minute', (select round(greatest(s.received - b.received, 0) * 60 / extract(epoch from now() - b.at))"
	"   from before b)) from sums s, missing";

static const char quarantine_sql[] =
	"select json_build_object('total', (select count(*) from (select from quarantine limit " COUNTED_MAX ") q),"
	" 'last_day', (select count(*) from (select from quarantine where received_at > now() - interval '1 day'"
	"  limit " COUNTED_MAX ") q))";

static const char waiting_sql[] =
	"select json_build_object('registrations', (select count(*) from registration where state = 'pending'))";

// The last day in steps of ten minutes: [ms, online, stale, offline, never, messages a minute, enrolled, commands,
// succeeded, failed]; null for whoever sees only some groups, of which nothing is kept.
static const char history_sql[] =
	"with moment as (select at, sum(online) online, sum(stale) stale, sum(offline) offline, sum(never) never,"
	"  sum(received) received, sum(enrolled) enrolled, sum(commands) commands, sum(succeeded) succeeded,"
	"  sum(failed) failed from fleet_sample where at > now() - interval '1 day' group by at),"
	" step as (select date_bin('10 minutes', at, timestamptz 'epoch') as bin, max(at) as at, max(received) "
	"received,"
	"  sum(enrolled) enrolled, sum(commands) commands, sum(succeeded) succeeded, sum(failed) failed"
	"  from moment group by 1),"
	" rate as (select s.*, greatest(0, received - lag(received) over w) * 60"
	"  / nullif(extract(epoch from at - lag(at) over w), 0) as per_minute from step s window w as (order by at))"
	" select json_agg(json_build_array((extract(epoch from r.at) * 1000)::bigint, m.online, m.stale, m.offline,"
	"  m.never, round(r.per_minute), r.enrolled, r.commands, r.succeeded, r.failed) order by r.at)"
	" from rate r join moment m on m.at = r.at";

// What changed in the last hour, by kind and five minutes, the latest first. names: the first few.
static const char changes_sql[] =
	"with presence as (select type as kind, device as name, measured_at as at from event"
	"  where epoch = '-presence' and measured_at > now() - interval '1 hour' order by measured_at desc limit 5000),"
	" enrolled as (select 'enrolled' as kind, device as name, enrolled_at as at from device"
	"  where enrolled_at > now() - interval '1 hour' order by enrolled_at desc limit 5000),"
	" revoked as (select case when r.revoked then 'revoked' else 'restored' end as kind, r.name, r.requested_at as "
	"at"
	"  from (select * from revocation order by change desc limit 500) r where r.kind = 'device'"
	"  and r.requested_at > now() - interval '1 hour' and (select true from device d where d.device = r.name)),"
	" failed as (select 'command.' || state || ' ' || action as kind, device as name, changed_at as at"
	"  from (select * from command where changed_at > now() - interval '1 hour' order by changed_at desc limit "
	"5000) c"
	"  where state in " ENDED_BADLY "),"
	" several as (select kind, max(at) as at, count(distinct name) as count,"
	"  (array_agg(distinct name))[1:3] as names, null::bigint as id"
	"  from (select * from presence union all select * from enrolled union all select * from revoked"
	"   union all select * from failed) x"
	"  where name !~ '^canary-[0-9]+$'" // it comes and goes to prove that revocations hold
	"  group by kind, date_bin('5 minutes', at, timestamptz 'epoch')),"
	" moved as (select 'campaign.' || state, greatest(started_at, finished_at, case when state in"
	"  ('paused', 'pending') then changed_at end), 1, array[name], id from campaign"
	"  where greatest(started_at, finished_at, case when state in ('paused', 'pending') then changed_at end)"
	"  > now() - interval '1 hour')"
	" select coalesce(json_agg(json_build_object('kind', kind, 'at', at, 'count', count, 'names', names, 'id', id)"
	"  order by at desc), '[]') from (select * from (select * from several union all select * from moved) y"
	"  order by at desc limit 30) z";

// Parts that are not well: degraded, or silent for half a minute.
static const char system_sql[] =
	"select json_build_object('parts', count(*), 'troubled', coalesce(json_agg(json_build_object('part', part,"
	"  'state', case when silent then 'silent' else state end, 'why', why) order by part)"
	"  filter (where silent or state <> 'ok'), '[]'))"
	" from (select part, state, why, seen_at < now() - interval '30 seconds' as silent from part_state"
	"  where seen_at > now() - interval '1 day') p";

static const struct piece table[] = {
	{"devices", devices_sql, 1000},	      {"commands_today", commands_sql, 1000}, {"ledger", ledger_sql, 1000},
	{"quarantine", quarantine_sql, 5000}, {"waiting", waiting_sql, 1000},	      {"history", history_sql, 20000},
	{"changes", changes_sql, 2000},	      {"system", system_sql, 2000},
};

struct pieces *overview_new(struct error *error)
{
	return pieces_new(table, sizeof(table) / sizeof(table[0]), error);
}

void overview_get(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;

	pieces_reply(dashboard->overview, dashboard, request);
}
