#include "commander/alert.h"

#include "commander/commander.h"

#include "common/alert_sql.h"
#include "common/clock.h"
#include "common/query_pg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATEMENT_MAX_BYTES 131072
#define TICK_EVERY_MS 1000
#define TIDY_EVERY_MS 3600000
#define SLICE "2000"		 // devices looked at in one turn
#define MOVES "2000"		 // alerts raised or cleared in one turn
#define OVERLAP "5 seconds"	 // a transaction that commits later than it began is still seen
#define SWEEP_EVERY "10 minutes" // all devices: for what is no report, as a tag that was taken away
#define SILENCE_EVERY_S "30"
#define FRESH "10 seconds"   // an ingest that was silent for longer sees nothing
#define GONE "10 minutes"    // and for longer than that it is not coming back: others may see
#define ABSENCE "10 seconds" // between two ticks: nobody looked
#define FLAP_MAX_S "3600"

// $1 seconds of the holdoff.
static const char tick_own_sql[] =
	"select tick_alert_clock(0, true, '-infinity', make_interval(secs => $1), '" ABSENCE "')";
static const char tick_cells_sql[] =
	"select tick_alert_clock(cell, bool_and(seen_at > now() - interval '" FRESH "'), max(connected_since),"
	" make_interval(secs => $1), '" ABSENCE "') from ingest_sight where seen_at > now() - interval '" GONE "'"
	" group by cell";
static const char fact_sql[] =
	"insert into alert_fact (fact, object, at, holds) values ('push', $1, now(), $2) on conflict (fact, object)"
	" do update set at = now(), holds = excluded.holds";

static const char pick_sql[] =
	"select r.id, r.kind, r.query, r.params ->> 'metric', case when s.swept_at < now() - interval '" SWEEP_EVERY "'"
	" then '-infinity' else s.looked_to end, s.swept_at < now() - interval '" SWEEP_EVERY "',"
	" s.silent_at < now() - make_interval(secs => least(" SILENCE_EVERY_S ", greatest($1::float8,"
	" coalesce((r.params ->> 'for_s')::float8, 0) / 4))), (now() - make_interval(secs =>"
	" coalesce((r.params ->> 'for_s')::float8, 0)))::text, r.tenant from alert_rule_state s join alert_rule r on "
	"r.id = "
	"s.rule"
	" where r.enabled and s.next_at <= now() order by s.next_at limit 1 for update of s skip locked";
enum column { RULE, KIND, QUERY, METRIC, LOOKED_TO, SWEEPS, SILENCE_DUE, SILENT_BEFORE, TENANT };

// $1 looked to. The last slice has no end: a device that never pauses is always younger than our transaction.
static const char slice_sql[] =
	"select coalesce(x.at, 'infinity')::text, x.at is not null from (select (select s.changed_at from device_state"
	" s where " ALERT_CHANGED_SQL("$1") " order by s.changed_slot, s.changed_at offset " SLICE " limit 1) as at) x";

// $2 whether it must have been said again, $3 within how long an alert that comes back is the same one. Whom it is told
// is decided here, when that is decided there.
static const char raise_sql[] =
	"with r as materialized (select * from alert_rule where id = $1),"
	" due as materialized (select w.* from alert_watch w join alert_clock k on k.cell = w.cell and k.sees cross "
	"join r"
	" where w.rule = $1 and w.alert is null and w.due_ms <= k.clock_ms and (not $2::boolean or w.held_at >= w.since"
	" + make_interval(secs => (r.params ->> 'for_s')::float8)) order by w.due_ms limit " MOVES " for update of w),"
	" old as (update alert a set state = 'active', cleared_at = null, cleared_why = '', cleared_by = '',"
	" flaps = a.flaps + (a.state = 'cleared')::integer, since = due.since, value = due.value, title = due.title,"
	" changed_at = now() from due where a.id = (select b.id from alert b where b.rule = $1 and b.object = "
	"due.object"
	" order by b.id desc limit 1) and (a.state = 'active' or (a.cleared_by = ''"
	" and a.cleared_at > now() - make_interval(secs => $3))) returning a.id, a.object),"
	" new as (insert into alert (tenant, rule, rule_name, kind, severity, object, device, title, value, since)"
	" select r.tenant, r.id, r.name, r.kind, r.severity, due.object, due.device, due.title, due.value, due.since"
	" from due cross join r where not exists (select from old where old.object = due.object) returning id, object),"
	" moved as (select id, object, 'returned' as type from old union all select id, object, 'raised' from new),"
	" marked as (update alert_watch w set alert = b.id from moved b where w.rule = $1 and w.object = b.object),"
	" noted as (insert into alert_event (alert, type, text) select b.id, b.type, due.title from moved b"
	" join due on due.object = b.object),"
	" routed as (insert into alert_told as t (channel, alert, waits_since) select distinct c.id, b.id, now()"
	" from moved b cross join r join alert_channel c on c.tenant = r.tenant and c.enabled"
	" join alert_route o on o.channel = c.id and (o.rule is null or o.rule = r.id)"
	" and severity_rank(r.severity) >= severity_rank(o.severity)"
	" on conflict (channel, alert) do update set waits_since = coalesce(t.waits_since, excluded.waits_since))"
	" select count(*), count(*) filter (where type = 'raised') from moved";

// Who flaps has to be quiet for longer each time.
static const char clear_sql[] =
	"with r as materialized (select * from alert_rule where id = $1),"
	" over as (select a.id from alert_watch w join alert a on a.id = w.alert cross join r where w.rule = $1"
	" and w.over_at <= now() - make_interval(secs => least(r.clear_s * power(2, least(a.flaps, 12)),"
	" greatest(r.clear_s, " FLAP_MAX_S "))) limit " MOVES " for update of w, a),"
	" cleared as (update alert a set state = 'cleared', cleared_at = now(), changed_at = now(),"
	" cleared_why = 'it is over' from over where a.id = over.id returning a.id),"
	" noted as (insert into alert_event (alert, type) select id, 'cleared' from cleared) select count(*) from "
	"cleared";

// $2 looked to, $3 whether there is more, $4 whether a sweep began, $5 whether silence was looked at, $6 seconds to the
// next look.
static const char done_sql[] =
	"update alert_rule_state set looked_to = case when $3::boolean then $2::timestamptz"
	" else greatest(looked_to, now() - interval '" OVERLAP "') end,"
	" swept_at = case when $4::boolean then now() else swept_at end,"
	" silent_at = case when $5::boolean then now() else silent_at end,"
	" next_at = case when $3::boolean then now() else now() + make_interval(secs => $6) end where rule = $1";
// Names in the query are of the rule's tenant.
static const char tenant_sql[] = "select set_config('muster.tenant', $1, true)";
static const char error_sql[] = "update alert_rule set error = $2 where id = $1 and error <> $2";

static const char tidy_sql[] =
	"with old as (delete from alert where state = 'cleared' and cleared_at < now() - interval '90 days'),"
	" digests as (delete from alert_digest where at < now() - interval '30 days'),"
	" facts as (delete from alert_fact where at < now() - interval '1 day'),"
	" silences as (delete from alert_silence where until_at < now() - interval '90 days')"
	" delete from alert_sight s using alert_clock k where k.cell = s.cell and s.at < now() - interval '400 days'";

static const char active_sql[] =
	"select s, count(a.severity) from unnest(array['info', 'warning', 'critical']) s"
	" left join alert a on a.severity = s and a.state = 'active' group by s";

// One rule in this transaction.
struct look {
	const struct alert_sql *sql;
	const char *rule, *metric, *looked_to, *silent_before;
	char to[64]; // of the slice
	bool more, sweeps, silence;
};

static bool show_active(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (!PG_QUERY(commander->pg, &rows, error, active_sql))
		return false;
	for (size_t i = 0; i < pg_rows(rows); i++) {
		char labels[32];

		(void)snprintf(labels, sizeof(labels), "severity=\"%s\"", pg_text(rows, i, 0));
		metric_set(metrics_gauge(commander->metrics, "muster_alerts_active", labels,
					 "Alerts that are active, of all tenants"),
			   (double)pg_int(rows, i, 1));
	}
	return true;
}

// ---- the clocks ----

static bool tick(struct commander *commander, struct error *error)
{
	struct alerts *alerts = &commander->alerts;
	int64_t now_ms = clock_mono_ms();
	bool pauses = commander->wake.fcm && breaker_state(&commander->wake.breaker, now_ms) != BREAKER_CLOSED;
	char holdoff[24];

	if (alerts->ticked_ms != 0 && now_ms - alerts->ticked_ms < TICK_EVERY_MS)
		return true;
	alerts->ticked_ms = now_ms;
	(void)snprintf(holdoff, sizeof(holdoff), "%ld", commander->options->alert_holdoff_s);
	return (PG_QUERY(commander->pg, NULL, error, tick_own_sql, holdoff) &&
		PG_QUERY(commander->pg, NULL, error, tick_cells_sql, holdoff) &&
		PG_QUERY(commander->pg, NULL, error, fact_sql, commander->options->client_id, pauses ? "t" : "f") &&
		show_active(commander, error)) ||
	       error_prefix(error, "moving the clocks of alerts");
}

static bool tidy(struct commander *commander, struct error *error)
{
	struct alerts *alerts = &commander->alerts;
	int64_t now_ms = clock_mono_ms();

	if (alerts->tidied_ms != 0 && now_ms - alerts->tidied_ms < TIDY_EVERY_MS)
		return true;
	alerts->tidied_ms = now_ms;
	return pg_exec(commander->pg, tidy_sql, error);
}

// ---- one rule ----

static bool watch(struct commander *commander, const struct look *look, bool silent, const struct query *query,
		  struct error *error)
{
	const char *params[ALERT_SLICE_PARAMS + QUERY_PARAMS_MAX] = {look->rule, silent ? "-infinity" : look->looked_to,
								     silent ? look->silent_before : look->to};
	size_t own = alert_sql_is_slice(look->sql) ? ALERT_SLICE_PARAMS : ALERT_WHOLE_PARAMS;
	auto_buf struct buf sql;

	buf_init(&sql, STATEMENT_MAX_BYTES);
	alert_sql_watch(look->sql, look->metric, silent, query, &sql);
	// What is no device has no query to bind.
	for (size_t i = 0; i < query->count; i++)
		params[own + i] = query->params[i];
	return pg_query(commander->pg, NULL, error, buf_str(&sql), own + query->count, params);
}

static bool find_slice(struct commander *commander, struct look *look, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;

	if (!alert_sql_is_slice(look->sql))
		return true;
	if (!PG_QUERY(commander->pg, &row, error, slice_sql, look->looked_to))
		return false;
	(void)snprintf(look->to, sizeof(look->to), "%s", pg_text(row, 0, 0));
	look->more = pg_bool(row, 0, 1);
	return true;
}

static void count_moves(struct commander *commander, const char *labels, int64_t count)
{
	metric_add(metrics_counter(commander->metrics, "muster_alerts_total", labels, "Alerts raised and cleared"),
		   (double)count);
}

static bool move(struct commander *commander, struct look *look, struct error *error)
{
	auto_pg_result struct pg_result *raised = NULL;
	auto_pg_result struct pg_result *cleared = NULL;
	char flap[24];

	(void)snprintf(flap, sizeof(flap), "%ld", commander->options->alert_flap_s);
	if (!PG_QUERY(commander->pg, &raised, error, raise_sql, look->rule, alert_sql_confirms(look->sql) ? "t" : "f",
		      flap) ||
	    !PG_QUERY(commander->pg, &cleared, error, clear_sql, look->rule))
		return false;
	if (pg_int(raised, 0, 0) > 0 || pg_int(cleared, 0, 0) > 0)
		log_info("alert.moves", "rule", look->rule, "raised", log_number(pg_int(raised, 0, 0)), "cleared",
			 log_number(pg_int(cleared, 0, 0)));
	count_moves(commander, "move=\"raised\"", pg_int(raised, 0, 0));
	count_moves(commander, "move=\"cleared\"", pg_int(cleared, 0, 0));
	return true;
}

static bool evaluate(struct commander *commander, struct look *look, const struct query *query, struct error *error)
{
	char next[24];

	if (!find_slice(commander, look, error) || !watch(commander, look, false, query, error) ||
	    (look->silence && !watch(commander, look, true, query, error)) || !move(commander, look, error))
		return false;
	(void)snprintf(next, sizeof(next), "%ld", commander->options->alert_look_s);
	return PG_QUERY(commander->pg, NULL, error, done_sql, look->rule, look->to[0] ? look->to : "-infinity",
			look->more ? "t" : "f", look->sweeps ? "t" : "f", look->silence ? "t" : "f", next);
}

// A rule that cannot be evaluated, as one whose query names a group that is no more, is left alone for a minute and
// says so.
static bool give_up(struct commander *commander, const char *rule, const struct error *why, struct error *error)
{
	log_fault(&commander->alerts.fault, "alert.rule", why);
	return PG_QUERY(commander->pg, NULL, error, error_sql, rule, why->what) &&
	       PG_QUERY(commander->pg, NULL, error, done_sql, rule, "-infinity", "f", "f", "f", "60");
}

static bool look_at(struct commander *commander, const struct pg_result *row, struct error *error)
{
	struct look look = {
		.sql = alert_sql_find(pg_text(row, 0, KIND)),
		.rule = pg_text(row, 0, RULE),
		.metric = pg_text(row, 0, METRIC),
		.looked_to = pg_text(row, 0, LOOKED_TO),
		.silent_before = pg_text(row, 0, SILENT_BEFORE),
		.sweeps = pg_bool(row, 0, SWEEPS),
	};
	struct error own = {0};
	auto_query struct query query = {0};

	if (!look.sql) {
		(void)error_set(&own, ERROR_INVALID, "this version knows no rule of the kind %.40s",
				pg_text(row, 0, KIND));
		return give_up(commander, look.rule, &own, error);
	}
	look.silence = alert_sql_has_silence(look.sql) && pg_bool(row, 0, SILENCE_DUE);
	const struct query_options options = {
		.first_param = (alert_sql_is_slice(look.sql) ? ALERT_SLICE_PARAMS : ALERT_WHOLE_PARAMS) + 1,
		.resolve = query_pg_resolve,
		.user = commander->pg,
	};

	// One rule that cannot be evaluated must hold up neither the others nor any command.
	if (!pg_exec(commander->pg, "savepoint rule", error) ||
	    !PG_QUERY(commander->pg, NULL, error, tenant_sql, pg_text(row, 0, TENANT)))
		return false;
	if (query_compile(pg_text(row, 0, QUERY), &options, &query, &own) && evaluate(commander, &look, &query, &own) &&
	    PG_QUERY(commander->pg, NULL, &own, error_sql, look.rule, "")) {
		log_fault_over(&commander->alerts.fault, "alert.rule");
		return pg_exec(commander->pg, "release savepoint rule", error);
	}
	if (own.kind != ERROR_UNREACHABLE)
		return pg_exec(commander->pg, "rollback to savepoint rule", error) &&
		       give_up(commander, look.rule, &own, error);
	if (error)
		*error = own;
	return error_prefix(error, "evaluating the alert rule %s", look.rule);
}

// ---- the step ----

bool alert_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	char look[24];

	if (!(commander->due & DUE_ALERTS))
		return true;
	(void)snprintf(look, sizeof(look), "%ld", commander->options->alert_look_s);
	if (!tick(commander, error) || !tidy(commander, error) || !PG_QUERY(commander->pg, &row, error, pick_sql, look))
		return false;
	if (pg_rows(row) > 0)
		return look_at(commander, row, error);
	commander->due &= ~(unsigned)DUE_ALERTS;
	return true;
}
