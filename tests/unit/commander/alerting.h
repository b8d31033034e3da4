// What the tests of alerts share: a real PostgreSQL with the project's migrations in which time stands still until a
// test moves it on, a fleet in it, and commanders that run the steps about alerts. Everything that asks for the time
// in SQL, defaults and functions of the migrations included, gets what the test says it is.
#pragma once

#include "commander/commander.h"

#include "tests/unit/sql.h"

#define STEP_S 9 // below what counts as an absence
#define ROUNDS_MAX 200

static struct metrics *metrics;
static char client_id[] = "svc.commander";
static struct options options = {.client_id = client_id, .alert_look_s = 1, .alert_holdoff_s = 10, .alert_flap_s = 600};
static struct commander commander, second;
static int64_t now_s;	// seconds since 1970
static unsigned seeing; // bit n: the ingest of cell n is connected, and takes in what comes

static const char clock_sql[] =
	"create schema fake; grant usage on schema fake to public;"
	"create function fake.now() returns timestamptz language sql stable parallel safe as"
	" $$ select current_setting('fake.now')::timestamptz $$;"
	"create function fake.clock_timestamp() returns timestamptz language sql stable parallel safe as"
	" $$ select current_setting('fake.now')::timestamptz $$;"
	"alter database postgres set fake.now = '2026-01-05 12:00Z';"
	"alter database postgres set search_path = fake, pg_catalog, public;"
	"do $$ declare one record; begin"
	" for one in select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace = "
	"'public'::regnamespace"
	"  and array_to_string(p.proconfig, ',') like 'search_path=%' loop"
	"  execute 'alter routine ' || one.name || ' set search_path = fake, pg_catalog, public, pg_temp'; end loop;"
	" for one in select c.table_name as t, c.column_name as c, c.column_default as d from information_schema.columns c where"
	"  c.table_schema = 'public' and c.column_default like '%now()%' loop"
	"  execute format('alter table %I alter column %I set default %s', one.t, one.c, replace(one.d, 'now()', 'fake.now()')); end loop; end $$";

// ---- the database ----

__attribute__((format(printf, 1, 2))) static inline void execf(const char *format, ...)
{
	char sql[2048];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(sql, sizeof(sql), format, arguments);
	va_end(arguments);
	exec(sql);
}

// ---- time ----

static inline void set_clock(struct pg *pg)
{
	char text[24];
	struct error error = {0};

	(void)snprintf(text, sizeof(text), "%lld", (long long)now_s);
	if (!PG_QUERY(pg, NULL, &error, "select set_config('fake.now', to_timestamp($1::float8)::text, false)", text))
		fail_msg("%s", error.what);
}

static inline void set_clocks(void)
{
	set_clock(admin);
	set_clock(commander.pg);
	set_clock(second.pg);
}

static inline void must(bool done, const struct error *error)
{
	if (!done)
		fail_msg("%s", error->what);
}

// What is due, as in a commander's turns.
static inline void turns(struct commander *one)
{
	struct error error = {0};

	one->alerts.ticked_ms = one->notify.silenced_ms = 0; // they go by a real clock
	one->due |= DUE_ALERTS | DUE_NOTIFY;
	for (int round = 0; one->due & (DUE_ALERTS | DUE_NOTIFY); round++) {
		assert_true(round < ROUNDS_MAX);
		must(pg_begin(one->pg, &error) && alert_run(one, &error) && notify_run(one, &error) &&
			     pg_commit(one->pg, &error),
		     &error);
	}
}

// Time goes by while nobody looks.
static inline void jump(int seconds)
{
	now_s += seconds;
	set_clocks();
}

static inline void say_sight(void)
{
	for (int cell = 1; cell <= 2; cell++) {
		if (seeing & 1U << cell)
			execf("insert into ingest_sight values ('svc.ingest', %d, now(), now()) on conflict (client, "
			      "cell)"
			      " do update set seen_at = excluded.seen_at",
			      cell);
	}
}

static inline void pass(int seconds)
{
	while (seconds > 0) {
		int step = seconds < STEP_S ? seconds : STEP_S;

		jump(step);
		say_sight();
		turns(&commander);
		seconds -= step;
	}
}

// ---- the fleet ----

// It reports once a day, so that nothing but what a test says makes it silent.
static inline void device(const char *name, int cell)
{
	execf("insert into device (device, cell) values ('%s', %d);"
	      "insert into device_state (device, presence, presence_why, presence_since, last_seen, interval_s, cell)"
	      " values ('%s', 'online', 'hello', now(), now(), 86400, %d)",
	      name, cell, name, cell);
}

static inline void report(const char *name, const char *values)
{
	execf("update device_state set %s, last_seen = now(), changed_at = now() where device = '%s'", values, name);
}

static inline void goes(const char *names)
{
	execf("update device_state set presence = 'offline', presence_why = 'will', presence_since = now(), changed_at "
	      "="
	      " now() where device like '%s'",
	      names);
}

static inline void returns(const char *names)
{
	execf("update device_state set presence = 'online', presence_why = 'hello', presence_since = now(), last_seen ="
	      " now(), changed_at = now() where device like '%s'",
	      names);
}

static inline int64_t rule(const char *kind, const char *params, const char *query)
{
	char sql[512];

	(void)snprintf(sql, sizeof(sql),
		       "insert into alert_rule (name, kind, params, query, clear_s, created_by) values ('%s ' ||"
		       " (select count(*) from alert_rule), '%s', '%s', '%s', 0, 'test') returning id",
		       kind, kind, params, query);
	return number(sql);
}

// Object and state of each alert, and whether somebody saw it.
static inline void alerts(const char *expected)
{
	says("select string_agg(object || ' ' || state || case when acknowledged_at is null then '' else ' seen' end, "
	     "', '"
	     " order by object, id) from alert",
	     expected);
}

// ---- setup ----

static inline void commander_make(struct commander *one)
{
	one->options = &options;
	one->pg = connect_as("muster_commander");
	one->metrics = metrics;
}

static inline int group_setup(void **state)
{
	if (scratch_setup(state) != 0 || !sql_init(((struct scratch *)*state)->folder))
		return -1;
	exec(clock_sql);
	pg_disconnect(admin); // the next connection begins with the settings of the database
	metrics = metrics_new();
	commander_make(&commander);
	commander_make(&second);
	return metrics ? 0 : -1;
}

static inline int group_teardown(void **state)
{
	pg_free(commander.pg);
	pg_free(second.pg);
	metrics_free(metrics);
	sql_done();
	return scratch_teardown(state);
}

// Nobody, no rules, Monday noon, and both cells are seen.
static inline int setup(void **state)
{
	exec("truncate device, device_state, alert_rule, alert, alert_channel, alert_silence, alert_clock, alert_sight,"
	     " ingest_sight, alert_fact, mail cascade");
	now_s = 1767614400; // 2026-01-05T12:00:00Z
	seeing = 1U << 1 | 1U << 2;
	options.alert_holdoff_s = 10;
	set_clocks();
	for (int cell = 1; cell <= 2; cell++)
		execf("insert into ingest_sight values ('svc.ingest', %d, now() - interval '1 day', now())", cell);
	pass(20);
	says("select string_agg(cell || ' ' || sees, ', ' order by cell) from alert_clock", "0 true, 1 true, 2 true");
	return 0;
}
