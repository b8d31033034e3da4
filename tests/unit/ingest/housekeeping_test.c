// Against a real PostgreSQL with the project's migrations: several writers, late rows, aborts and readers that do not
// go.
#include "ingest/housekeeping.h"

#include "common/limits.h"
#include "common/pg.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"

#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>

enum { WRITERS = 4, MODEL_STEPS = 600 };

DEFINE_CLEANUP(struct metrics, metrics_free)
#define auto_metrics cleanup(metrics_free_cleanup)

static struct postgres postgres;
static struct pg *admin, *role, *writers[WRITERS]; // role: as the program itself, with its rights

static void exec_on(struct pg *pg, const char *sql)
{
	struct error error = {0};
	if (!pg_ready(pg, &error) || !pg_exec(pg, sql, &error))
		fail_msg("%.200s: %s", sql, error.what);
}

static void exec(const char *sql)
{
	exec_on(admin, sql);
}

static int64_t number_on(struct pg *pg, const char *sql)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(pg, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	return pg_int(result, 0, 0);
}

static int64_t number(const char *sql)
{
	return number_on(admin, sql);
}

// Says whether the query finds what is true.
static bool holds(const char *sql)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(admin, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	return pg_bool(result, 0, 0);
}

static void fails(struct pg *pg, const char *sql, const char *sqlstate)
{
	struct error error = {0};
	assert_false(pg_exec(pg, sql, &error));
	assert_string_equal(error.where, sqlstate);
}

static struct pg *connect_as(const char *user)
{
	char conninfo[128];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=%s dbname=postgres", postgres.port,
		       user);
	struct pg *pg = pg_new(conninfo, "housekeeping-test", &error);
	assert_non_null(pg);
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!pg_ready(pg, &error)) { // the server listens before it answers
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%s", error.what);
		process_pause();
	}
	return pg;
}

static struct housekeeping *make(struct metrics *metrics)
{
	char conninfo[128];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster_ingest dbname=postgres",
		       postgres.port);
	const struct housekeeping_options options = {
		.conninfo = conninfo,
		.rollup_every_s = 60,
		.telemetry_days = 2,
		.event_days = 30,
		.rollup_days = 400,
		.quarantine_days = 30,
		.command_days = 400,
		.metrics = metrics,
	};
	struct housekeeping *housekeeping = housekeeping_new(&options, &error);
	if (!housekeeping)
		fail_msg("%s", error.what);
	return housekeeping;
}

static void round_of(struct housekeeping *housekeeping)
{
	struct error error = {0};
	if (!housekeeping_round(housekeeping, &error))
		fail_msg("%s", error.what);
}

static int migrate(void)
{
	glob_t files;
	if (glob(MUSTER_SOURCE_DIR "/db/migrations/*.sql", 0, NULL, &files) != 0)
		return -1;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		struct error error = {0};
		char *sql auto_free = file_read(files.gl_pathv[i], 1 << 20, NULL, &error);
		if (strstr(files.gl_pathv[i], "/0003_")) // a fleet that was there before there were rollups
			exec("insert into telemetry (device, epoch, seq, ts, received_at, load1) values "
			     "('before', 'e', 1, now(), now(), 1), ('before', 'e', 2, now(), now(), 2)");
		if (!sql || !pg_exec(admin, sql, &error)) {
			(void)fprintf(stderr, "%s: %s\n", files.gl_pathv[i], error.what);
			return -1;
		}
	}
	globfree(&files);
	return 0;
}

static int group_setup(void **state)
{
	if (scratch_setup(state) != 0 || !postgres_init(&postgres, ((struct scratch *)*state)->folder))
		return -1;
	admin = connect_as("muster");
	if (migrate() != 0)
		return -1;
	role = connect_as("muster_ingest");
	for (int i = 0; i < WRITERS; i++)
		writers[i] = connect_as("muster_ingest");
	return 0;
}

static int group_teardown(void **state)
{
	for (int i = 0; i < WRITERS; i++)
		pg_free(writers[i]);
	pg_free(role);
	pg_free(admin);
	postgres_stop(&postgres);
	return scratch_teardown(state);
}

static int setup(void **state)
{
	exec("truncate telemetry, event, quarantine, command, command_result, command_output, inventory_change, "
	     "rollup_hour, "
	     "rollup_metric cascade;"
	     "update rollup_state set watermark = pg_snapshot_xmin(pg_current_snapshot())::text::bigint, base = 0,"
	     " width = 1000, raw_from = '-infinity'");
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < WRITERS; i++)
		pg_rollback(writers[i]);
	pg_rollback(role);
	pg_rollback(admin);
	return 0;
}

static int seq; // of every test together

static void insert_on(struct pg *pg, const char *ts, int count, int uptime_s)
{
	char sql[512];
	(void)snprintf(sql, sizeof(sql),
		       "insert into telemetry (device, epoch, seq, ts, received_at, uptime_s, load1) select 'd' || i "
		       "%% 3, 'e', "
		       "%d + i, %s, now(), %d + i, 0.5 from generate_series(1, %d) i",
		       seq, ts, uptime_s, count);
	seq += count;
	exec_on(pg, sql);
}

#define SLICE "select rows from rollup_slice(1000)"

// Every row of telemetry is in the rollups once: same number, sum, least and greatest, by device and hour.
static void assert_exact(void)
{
	assert_true(holds("select not exists (select device, date_trunc('hour', ts, 'UTC'), count(uptime_s), "
			  "min(uptime_s)::float8, "
			  "max(uptime_s)::float8, sum(uptime_s)::float8 from telemetry group by 1, 2 except "
			  "select device, hour, n, min, max, sum from rollup_hour where metric = 'uptime_s')"));
	assert_int_equal(number("select sum(n) from rollup_hour where metric = 'uptime_s'"),
			 number("select count(uptime_s) from telemetry"));
}

static void test_history(void **state)
{
	assert_true(holds("select n = 2 and min = 1 and max = 2 and sum = 3 from rollup_hour where device = 'before'"));
	assert_int_equal(number_on(role, SLICE), 0);
}

static void test_running_transactions(void **state)
{
	exec_on(writers[0], "begin");
	insert_on(writers[0], "now()", 5, 10);
	exec_on(writers[1], "begin");
	insert_on(writers[1], "now()", 7, 20);
	insert_on(writers[2], "now()", 3, 30); // committed, and younger than those
	assert_int_equal(number_on(role, SLICE), 0);
	exec_on(writers[1], "rollback");
	assert_int_equal(number_on(role, SLICE), 0);
	exec_on(writers[0], "commit");
	assert_int_equal(number_on(role, SLICE), 8);
	assert_int_equal(number_on(role, SLICE), 0);
	assert_exact();
}

// Whatever writers do between slices of whatever size, nothing is left out and nothing is added twice.
static void test_any_order(void **state)
{
	static const char *const times[] = {"now()", "now() - interval '1 hour'", "now() - interval '90 days'",
					    "'1970-01-01'", "now() + interval '30 years'"};
	bool open[WRITERS] = {false};
	uint32_t random = 12345;
	for (int step = 0; step < MODEL_STEPS; step++) {
		random = random * 1664525 + 1013904223;
		unsigned who = random >> 28 & (WRITERS - 1);
		switch (random >> 20 & 7) {
		case 0:
		case 1:
			if (!open[who])
				exec_on(writers[who], "begin");
			open[who] = true;
			break;
		case 2:
			exec_on(writers[who], open[who] ? "rollback" : "select 1");
			open[who] = false;
			break;
		case 3:
			exec_on(writers[who], open[who] ? "commit" : "select 1");
			open[who] = false;
			break;
		case 4:
			(void)number_on(role, (random >> 16 & 1) ? "select rows from rollup_slice(3)" : SLICE);
			break;
		default:
			insert_on(writers[who], times[(random >> 8) % 5], 1 + (int)(random >> 12 & 7), step);
		}
	}
	for (int i = 0; i < WRITERS; i++)
		if (open[i])
			exec_on(writers[i], "commit");
	for (int i = 0; i < MODEL_STEPS && number_on(role, "select more::integer from rollup_slice(50)") > 0; i++)
		;
	assert_true(number("select count(*) from telemetry") > MODEL_STEPS / 2);
	assert_exact();
}

static void test_late_rows(void **state)
{
	struct metrics *metrics auto_metrics = metrics_new();
	struct housekeeping *housekeeping cleanup(housekeeping_free_cleanup) = make(metrics);
	insert_on(writers[0], "timestamptz '2026-01-05 10:15Z'", 6, 1);
	round_of(housekeeping);
	insert_on(writers[0], "timestamptz '2026-01-05 10:59Z'", 6, 100);
	round_of(housekeeping);
	assert_int_equal(number("select n from rollup_hour where device = 'd1' and hour = '2026-01-05 10:00Z' and "
				"metric = 'uptime_s'"),
			 4);
	assert_exact();
	// The day's partition made later takes them over, and they are not counted again.
	exec("create table telemetry_20260105 (like telemetry including all);"
	     "with early as (delete from telemetry_default returning *) insert into telemetry_20260105 select * from "
	     "early;"
	     "alter table telemetry attach partition telemetry_20260105 for values from ('2026-01-05Z') to "
	     "('2026-01-06Z')");
	assert_int_equal(number_on(role, SLICE), 0);
	assert_exact();
	exec("drop table telemetry_20260105");
}

// A clock that is wrong puts nothing into another hour than the one in which it was measured.
static void test_wrong_clocks(void **state)
{
	exec("insert into telemetry (device, epoch, seq, ts, received_at, measured_at, cpu_pct, custom) values "
	     "('d', 'e', 1, '1970-01-02', '2026-01-05 11:20Z', '2026-01-05 10:59Z', 10, '{\"flow\": 1}'), "
	     "('d', 'e', 2, '2099-01-01', '2026-01-05 11:20Z', '2026-01-05 11:20Z', 20, '{\"flow\": 2}'), "
	     "('d', 'e', 3, '2026-01-05 10:05Z', '2026-01-05 11:20Z', '2026-01-05 10:05Z', 30, '{\"flow\": 3}'), "
	     "('d', 'e', 4, '2026-01-05 10:06Z', '2026-01-05 11:20Z', null, 50, null)");
	assert_int_equal(number_on(role, SLICE), 4);
	assert_true(holds("select array_agg((hour, n, min, max, sum)::text order by hour) = array["
			  "'(\"2026-01-05 10:00:00+00\",3,10,50,90)', '(\"2026-01-05 11:00:00+00\",1,20,20,20)'] "
			  "from rollup_hour where metric = 'cpu_pct'"));
	assert_true(holds("select array_agg((hour, n, min, max, sum)::text order by hour) = array["
			  "'(\"2026-01-05 10:00:00+00\",2,1,3,4)', '(\"2026-01-05 11:00:00+00\",1,2,2,2)'] "
			  "from rollup_hour where metric = 'flow'"));
}

static void test_crash(void **state)
{
	insert_on(writers[0], "now()", 9, 1);
	exec_on(role, "begin");
	assert_int_equal(number_on(role, SLICE), 9);
	// Another ingest meanwhile neither waits nor does it again.
	assert_int_equal(number_on(writers[1], SLICE), 0);
	pg_disconnect(role);
	struct error error = {0};
	int64_t rows = 0;
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (rows == 0 && clock_mono_ms() < deadline_ms) { // the server has to notice
		assert_true(pg_ready(role, &error));
		rows = number_on(role, SLICE);
	}
	assert_int_equal(rows, 9);
	assert_exact();
}

static void test_slices(void **state)
{
	for (int i = 0; i < 20; i++)
		insert_on(writers[0], "now()", 4, i);
	insert_on(writers[0], "now()", 50, 1); // one transaction is not divided
	insert_on(writers[0], "now()", 4, 1);
	int64_t total = 0;
	int64_t largest = 0;
	bool more = true;
	for (int i = 0; i < 1000 && more; i++) {
		struct error error = {0};
		struct pg_result *auto_pg_result result = NULL;
		assert_true(pg_query(role, &result, &error, "select rows, more from rollup_slice(10)", 0, NULL));
		int64_t rows = pg_int(result, 0, 0);
		assert_true(rows <= 10 || rows == 50);
		total += rows;
		largest = rows > largest ? rows : largest;
		more = pg_bool(result, 0, 1);
	}
	assert_false(more);
	assert_int_equal(largest, 50);
	assert_int_equal(total, 134);
	assert_exact();
}

static void custom(const char *device, const char *json)
{
	char sql[512];
	(void)snprintf(sql, sizeof(sql),
		       "insert into telemetry (device, epoch, seq, ts, received_at, custom) values ('%s', 'e', %d, "
		       "now(), now(), %s)",
		       device, ++seq, json);
	exec_on(writers[0], sql);
}

static void test_custom_metrics(void **state)
{
	custom("d1", "'{\"door\": true, \"queue\": 3.5, \"note\": \"text\", \"list\": [1], \"none\": null}'");
	custom("d1", "'{\"door\": false, \"queue\": -1, \"mem_used_pct\": 7}'");
	custom("d1", "'{\"queue\": 1e400, \"small\": 1e-400, \"other\": -1e300}'");
	custom("d1", "'[1, 2]'"); // ingest stores no such thing
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	assert_true(pg_query(role, &result, &error, "select rows, refused from rollup_slice(1000)", 0, NULL));
	assert_int_equal(pg_int(result, 0, 0), 4);
	assert_int_equal(pg_int(result, 0, 1), 2); // 1e400, -1e300
	assert_true(holds("select n = 2 and min = 0 and max = 1 and sum = 1 from rollup_hour where metric = 'door'"));
	assert_true(
		holds("select n = 2 and min = -1 and max = 3.5 and sum = 2.5 from rollup_hour where metric = 'queue'"));
	assert_true(holds("select n = 1 and max = 0 from rollup_hour where metric = 'small'"));
	assert_int_equal(number("select count(*) from rollup_hour"), 3);
}

static void test_names_of_a_device(void **state)
{
	static const char *const names = "(select jsonb_object_agg('m' || i, i) from generate_series(%d, %d) i)";
	char json[128];
	(void)snprintf(json, sizeof(json), names, 1, 150);
	custom("d1", json);
	custom("d2", json);
	assert_int_equal(number_on(role, "select refused from rollup_slice(1000)"), 0);
	(void)snprintf(json, sizeof(json), names, 101, 260);
	custom("d1", json);
	custom("d2", "'{\"extra\": 1}'");
	assert_int_equal(number_on(role, "select refused from rollup_slice(1000)"), 60);
	assert_int_equal(number("select count(distinct metric) from rollup_hour where device = 'd1'"), 200);
	assert_int_equal(number("select sum(n) from rollup_hour where device = 'd1'"), 150 + 160 - 60);
	assert_int_equal(number("select count(*) from rollup_hour where device = 'd2'"), 151);
	// Names that were not used for as long as rollups are kept make room.
	exec("update rollup_metric set used = current_date - 500 where device = 'd1' and metric <> 'm1'");
	assert_int_equal(number_on(role, "select sweep_expired('rollup', 400, 1000)"), 199);
	custom("d1", json);
	assert_int_equal(number_on(role, "select refused from rollup_slice(1000)"), 0);
}

// A dump restored elsewhere: the watermark is far above any transaction to come.
static void test_restored(void **state)
{
	exec("update telemetry set xact = xact + 1000000; update rollup_state set watermark = 1000000");
	insert_on(writers[0], "now()", 5, 1); // rolled up in the old cluster
	exec("update telemetry set xact = 900000");
	exec("insert into rollup_hour select device, 'uptime_s', date_trunc('hour', ts, 'UTC'), count(*), "
	     "min(uptime_s), "
	     "max(uptime_s), sum(uptime_s) from telemetry group by 1, 2, 3");
	insert_on(writers[0], "now()", 4, 50); // committed there, not yet rolled up
	exec("update telemetry set xact = 1000001 where xact < 900000; update rollup_state set rolled_at = now()");
	insert_on(writers[0], "now()", 3, 80); // came here before anybody noticed
	int64_t rows = number_on(role, SLICE);
	insert_on(writers[0], "now()", 2, 90);
	for (int i = 0; i < 100; i++)
		rows += number_on(role, SLICE);
	assert_int_equal(rows, 4 + 3 + 2);
	assert_exact();
	exec("alter table telemetry alter column xact set default pg_current_xact_id()::text::bigint");
}

// ---- retention ----

// A partition of the day that is that many days ago, with a row in it.
static void make_day(const char *parent, int days_ago)
{
	char sql[1024];
	(void)snprintf(sql, sizeof(sql),
		       "do $$ declare day date := (now() at time zone 'UTC')::date - %d; begin "
		       "execute format('create table %s_%%s partition of %s for values from (%%L) to (%%L)', "
		       "to_char(day, 'YYYYMMDD'), "
		       "day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC'); end $$",
		       days_ago, parent, parent);
	exec(sql);
}

static bool has_day(const char *parent, int days_ago)
{
	char sql[256];
	(void)snprintf(
		sql, sizeof(sql),
		"select to_regclass('%s_' || to_char((now() at time zone 'UTC')::date - %d, 'YYYYMMDD')) is not null",
		parent, days_ago);
	return holds(sql);
}

static void test_partitions_are_made(void **state)
{
	struct metrics *metrics auto_metrics = metrics_new();
	struct housekeeping *housekeeping cleanup(housekeeping_free_cleanup) = make(metrics);
	exec("do $$ declare name text; begin for name in select inhrelid::regclass from pg_inherits where inhparent in "
	     "('telemetry'::regclass, 'event'::regclass, 'rollup_hour'::regclass) and inhrelid::regclass::text !~ "
	     "'default' "
	     "loop execute 'drop table ' || name; end loop; end $$");
	insert_on(writers[0], "now() + interval '7 days'", 1, 1);
	round_of(housekeeping);
	for (int day = -7; day <= 1; day++)
		assert_true(has_day("telemetry", day) && has_day("event", day));
	assert_false(has_day("telemetry", -8));
	assert_int_equal(number("select count(*) from telemetry_default"), 0);
	assert_true(number("select count(*) from pg_inherits where inhparent = 'rollup_hour'::regclass") >= 14);
	round_of(housekeeping);
}

// Two days are kept: the day that ended exactly two days ago at midnight goes, the one that reaches into them stays.
static void test_edge(void **state)
{
	struct metrics *metrics auto_metrics = metrics_new();
	struct housekeeping *housekeeping cleanup(housekeeping_free_cleanup) = make(metrics);
	for (int day = 2; day <= 4; day++)
		make_day("telemetry", day);
	make_day("event", 30);
	make_day("event", 31);
	insert_on(writers[0], "now() - interval '3 days'", 3, 1);
	insert_on(writers[0], "now() - interval '2 days'", 3, 1);
	round_of(housekeeping);
	assert_false(has_day("telemetry", 4));
	assert_false(has_day("telemetry", 3));
	assert_true(has_day("telemetry", 2));
	assert_false(has_day("event", 31));
	assert_true(has_day("event", 30));
	assert_int_equal(number("select count(*) from telemetry"), 3);
	assert_int_equal(number("select sum(n) from rollup_hour where metric = 'uptime_s'"), 6);
	assert_true(holds("select raw_from = ((now() at time zone 'UTC')::date - 2)::timestamp at time zone 'UTC' from "
			  "rollup_state"));
	exec("create table rollup_hour_202001 partition of rollup_hour for values from ('2020-01-01Z') to "
	     "('2020-02-01Z')");
	assert_int_equal(
		number_on(role, "select (drop_expired_partition('rollup', 400) = 'rollup_hour_202001')::integer"), 1);
	assert_int_equal(number_on(role, "select (drop_expired_partition('rollup', 400) is null)::integer"), 1);
}

static void test_unrolled_rows_are_never_dropped(void **state)
{
	make_day("telemetry", 5);
	exec_on(writers[0], "begin");
	insert_on(writers[0], "now()", 1, 1); // holds back the watermark
	insert_on(writers[1], "now() - interval '5 days'", 3, 1);
	assert_int_equal(number_on(role, SLICE), 0);
	assert_int_equal(number_on(role, "select (drop_expired_partition('telemetry', 2) is null)::integer"), 1);
	assert_true(has_day("telemetry", 5));
	exec_on(writers[0], "commit");
	assert_int_equal(number_on(role, SLICE), 4);
	assert_int_equal(number_on(role, "select (drop_expired_partition('telemetry', 2) is null)::integer"), 0);
	assert_false(has_day("telemetry", 5));
}

struct dropper {
	struct pg *pg;
	const char *sql;
	struct error error;
	bool done;
	atomic_bool stop;
};

static void *drop(void *user)
{
	struct dropper *dropper = user;
	do
		dropper->done = pg_exec(dropper->pg, dropper->sql, &dropper->error);
	while (!dropper->done && !atomic_load(&dropper->stop));
	return NULL;
}

// Waits until some session waits for a lock on telemetry.
static void await_waiting(void)
{
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (number("select count(*) from pg_locks where relation = 'telemetry'::regclass and not granted") == 0) {
		assert_true(clock_mono_ms() < deadline_ms);
		process_pause();
	}
}

// A reader does not go. Who drops the partition waits for it, and who inserts waits behind that: for no longer than the
// drop's own patience, whereas behind a plain DROP the insert runs out of its own.
static void test_drop_does_not_block(void **state)
{
	pthread_t thread;
	make_day("telemetry", 5);
	exec_on(writers[0], "begin");
	(void)number_on(writers[0], "select count(*) from telemetry");
	exec_on(writers[1], "set lock_timeout = '2s'");

	struct dropper patient = {.pg = writers[2], .sql = "select drop_expired_partition('telemetry', 2)"};
	assert_int_equal(pthread_create(&thread, NULL, drop, &patient), 0);
	await_waiting();
	insert_on(writers[1], "now()", 1, 1); // would fail after 2 s
	atomic_store(&patient.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(patient.done);
	assert_string_equal(patient.error.where, "55P03");
	assert_true(has_day("telemetry", 5));

	struct pg *owner = connect_as("muster");
	struct dropper plain = {.pg = owner,
				.sql = "do $$ begin execute 'drop table telemetry_' || "
				       "to_char((now() at time zone 'UTC')::date - 5, 'YYYYMMDD'); end $$"};
	assert_int_equal(pthread_create(&thread, NULL, drop, &plain), 0);
	await_waiting();
	fails(writers[1],
	      "insert into telemetry (device, epoch, seq, ts, received_at) values ('d', 'e', 1, now(), now())",
	      "55P03");
	exec_on(writers[0], "commit");
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(plain.done);
	pg_free(owner);
	exec_on(writers[1], "reset lock_timeout");
}

static void test_sweep(void **state)
{
	struct metrics *metrics auto_metrics = metrics_new();
	struct housekeeping *housekeeping cleanup(housekeeping_free_cleanup) = make(metrics);
	// By arrival: neither a clock at 1970 nor one ahead loses a row early or keeps it for ever.
	exec("insert into telemetry (device, epoch, seq, ts, received_at, uptime_s) values "
	     "('d', 'e', 1, '1970-01-01', now() - interval '1 day', 1), ('d', 'e', 2, '1970-01-01', now() - interval "
	     "'3 days', 1), "
	     "('d', 'e', 3, '2090-01-01', now() - interval '1 day', 1), ('d', 'e', 4, '2090-01-01', now() - interval "
	     "'3 days', 1);"
	     "insert into event (device, epoch, seq, ts, received_at, type, body) values "
	     "('d', 'e', 5, '1970-01-01', now() - interval '29 days', 'x', '{}'), "
	     "('d', 'e', 6, '1970-01-01', now() - interval '31 days', 'x', '{}');"
	     "insert into quarantine (received_at, topic, reason, payload, bytes) select now() - i * interval '10 "
	     "days', 't', "
	     "'r', '', 0 from generate_series(1, 5) i;"
	     "insert into command (device, action, state, requested_by, created_at, finished_at) values "
	     "('old', 'ping', 'succeeded', 'x', now() - interval '500 days', now() - interval '401 days'), "
	     "('open', 'ping', 'queued', 'x', now() - interval '500 days', null), "
	     "('late', 'ping', 'failed', 'x', now() - interval '500 days', now() - interval '399 days');"
	     "insert into command_event (command, state, cause) select id, state, 'test' from command;"
	     "insert into command_output select 'd', 'c', i, 'e', i, now(), now() - i * interval '10 days', '', false, "
	     "false from generate_series(1, 5) i;"
	     "insert into inventory_change (device, at, kind, name, change) select 'd', now() - i * interval '150 "
	     "days', 'software', i::text, 'added' from generate_series(1, 5) i");
	round_of(housekeeping);
	assert_true(holds("select array_agg(seq order by seq) = '{1,3}' from telemetry"));
	assert_int_equal(number("select sum(n) from rollup_hour where metric = 'uptime_s' and device = 'd'"),
			 2); // 2090
	assert_true(holds("select array_agg(seq) = '{5}' from event"));
	assert_int_equal(number("select count(*) from quarantine"), 2);
	assert_true(holds("select array_agg(device order by device) = '{late,open}' from command"));
	assert_int_equal(number("select count(*) from command_event"), 2);
	assert_true(holds("select array_agg(n order by n) = '{1,2}' from command_output"));
	assert_true(holds("select array_agg(name order by name) = '{1,2}' from inventory_change"));
}

static void test_rights(void **state)
{
	fails(role, "select drop_expired_partition('telemetry', 0)", "22023");
	fails(role, "select drop_expired_partition('device', 2)", "22023");
	fails(role, "select sweep_expired('command', 0, 10)", "22023");
	fails(role, "select sweep_command_output(0, 10)", "22023");
	fails(role, "delete from command_output", "42501");
	fails(role, "select sweep_inventory_changes(0, 10)", "22023");
	fails(role, "insert into inventory_change (device, at, kind, name, change) values ('d', now(), 'x', 'x', 'added')",
	      "42501");
	fails(role, "select rollup_range(0, 1)", "42501");
	fails(role, "update rollup_state set watermark = 0", "42501");
	fails(role, "insert into rollup_hour values ('d', 'm', now(), 1, 1, 1, 1)", "42501");
	fails(role, "delete from telemetry", "42501");
}

// ---- the program's side ----

static double metric(struct metrics *metrics, const char *name)
{
	struct buf text auto_buf;
	char line[128];
	buf_init(&text, 1 << 20);
	metrics_write(metrics, &text);
	(void)snprintf(line, sizeof(line), "\n%s ", name);
	const char *at = strstr(buf_str(&text), line);
	assert_non_null(at);
	return strtod(at + strlen(line), NULL);
}

static void test_one_of_two_works(void **state)
{
	struct metrics *metrics auto_metrics = metrics_new();
	struct housekeeping *housekeeping cleanup(housekeeping_free_cleanup) = make(metrics);
	insert_on(writers[0], "now()", 6, 1);
	exec_on(writers[1], "select pg_advisory_lock(hashtext('muster.housekeeping'))");
	round_of(housekeeping);
	housekeeping_report(housekeeping);
	assert_true(metric(metrics, "muster_ingest_housekeeping_rounds_total") == 0);
	assert_int_equal(number("select count(*) from rollup_hour"), 0);
	exec_on(writers[1], "select pg_advisory_unlock_all()");
	make_day("telemetry", 5);
	round_of(housekeeping);
	housekeeping_report(housekeeping);
	assert_true(metric(metrics, "muster_ingest_housekeeping_rounds_total") == 1);
	assert_true(metric(metrics, "muster_ingest_rollup_rows_total") == 6);
	assert_true(metric(metrics, "muster_ingest_partitions_dropped_total") == 1);
	assert_true(metric(metrics, "muster_ingest_housekeeping_failures_total") == 0);
	assert_true(metric(metrics, "muster_ingest_housekeeping_last_success_timestamp_seconds") > 1.7e9);
	assert_int_equal(number("select count(*) from pg_locks where locktype = 'advisory'"), 0);
	assert_exact();
}

static void test_a_failure_stops_nothing_else(void **state)
{
	struct metrics *metrics auto_metrics = metrics_new();
	struct housekeeping *housekeeping cleanup(housekeeping_free_cleanup) = make(metrics);
	struct error error = {0};
	exec("alter function rollup_summarize() rename to rollup_summarize_gone");
	make_day("event", 40);
	bool done = housekeeping_round(housekeeping, &error);
	exec("alter function rollup_summarize_gone() rename to rollup_summarize");
	assert_false(done);
	assert_string_equal(error.where, "42883");
	assert_false(has_day("event", 40));
	housekeeping_report(housekeeping);
	assert_true(metric(metrics, "muster_ingest_housekeeping_failures_total") == 1);
}

static void test_thread(void **state)
{
	struct metrics *metrics auto_metrics = metrics_new();
	struct housekeeping *housekeeping = make(metrics);
	struct error error = {0};
	insert_on(writers[0], "now()", 6, 1);
	assert_true(housekeeping_start(housekeeping, &error));
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	do {
		assert_true(clock_mono_ms() < deadline_ms);
		process_pause();
		housekeeping_report(housekeeping);
	} while (metric(metrics, "muster_ingest_rollup_rows_total") < 6);
	housekeeping_free(housekeeping);

	// A server that no longer answers keeps nobody from ending.
	housekeeping = make(metrics);
	while (number("select count(*) from pg_locks where locktype = 'advisory'") > 0) // the other's session is ending
		process_pause();
	exec_on(writers[0], "begin; select pg_advisory_xact_lock(hashtext('muster.partitions'))");
	assert_true(housekeeping_start(housekeeping, &error));
	int64_t pid = 0;
	while (pid == 0) {
		struct pg_result *auto_pg_result result = NULL;
		assert_true(clock_mono_ms() < deadline_ms);
		process_pause();
		assert_true(pg_query(admin, &result, &error,
				     "select pid from pg_stat_activity where wait_event_type = 'Lock'", 0, NULL));
		pid = pg_int(result, 0, 0);
	}
	assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
	int64_t began_ms = clock_mono_ms();
	housekeeping_free(housekeeping);
	assert_true(clock_mono_ms() - began_ms < PG_ANSWER_TIMEOUT_MS / 2);
	assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
}

// Each round counts the fleet, unless that was done a moment ago.
static void test_the_fleet_is_counted(void **state)
{
	struct metrics *auto_metrics metrics = metrics_new();
	struct housekeeping *housekeeping cleanup(housekeeping_free_cleanup) = make(metrics);
	exec("delete from fleet_sample"); // of the rounds before
	exec("insert into device (device, enabled, enrolled_at) values ('s1', true, now() - interval '10 seconds'),"
	     " ('s2', true, now() - interval '2 days'), ('s3', false, null), ('s4', true, null);"
	     "insert into device_state (device, presence, last_seen, interval_s) values ('s1', 'online', now(), 30),"
	     " ('s2', 'online', now() - interval '5 minutes', 30), ('s3', 'offline', now(), 30);"
	     "insert into ledger (device, epoch, received) values ('s1', 'e', 7), ('s1', 'f', 5), ('s2', 'e', 30);"
	     "insert into command (device, action, state, requested_by, finished_at) values"
	     " ('s1', 'ping', 'succeeded', 'x', now()), ('s1', 'ping', 'expired', 'x', now()),"
	     " ('s2', 'ping', 'queued', 'x', null)");
	process_pause(); // what is counted is from before the sample
	round_of(housekeeping);
	assert_true(holds("select (online, stale, offline, never, revoked, enrolled) = (1, 1, 1, 1, 1, 1) from fleet_sample"));
	assert_true(holds("select (commands, succeeded, failed, received) = (3, 1, 1, 42) from fleet_sample"));
	round_of(housekeeping);
	assert_int_equal(number("select count(*) from fleet_sample"), 1);
	exec("update fleet_sample set at = at - interval '1 minute'");
	exec("insert into command (device, action, requested_by, created_at) values ('s1', 'ping', 'x', now() - interval '2 minutes')");
	round_of(housekeeping); // what came before the last sample is not counted again
	assert_true(holds("select commands < 4 and span_s between 55 and 90 from fleet_sample order by at desc limit 1"));
	exec("update fleet_sample set at = now() - interval '9 days' where at < now() - interval '30 seconds'");
	exec("update fleet_sample set at = now() + interval '1 day' where at > now() - interval '30 seconds'");
	round_of(housekeeping); // the clock was set back; and nothing is kept for ever
	assert_true(holds("select count(*) = 1 and max(at) <= now() from fleet_sample"));
	exec("delete from fleet_sample; delete from command; delete from ledger; delete from device_state;"
	     " delete from device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history),
		cmocka_unit_test_setup_teardown(test_running_transactions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_clocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_custom_metrics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_of_a_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_partitions_are_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unrolled_rows_are_never_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drop_does_not_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_of_two_works, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failure_stops_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_fleet_is_counted, setup, teardown),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
