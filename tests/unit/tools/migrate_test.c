#include "tools/migrate.h"

#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"

struct fixture {
	struct scratch scratch;
	struct postgres postgres;
	struct pg *pg;
	int databases;
};

// One server for all tests, a fresh database for each.
static int start_server(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	if (!fixture)
		return -1;
	(void)snprintf(fixture->scratch.folder, sizeof(fixture->scratch.folder), "/tmp/muster-unit-XXXXXX");
	*state = fixture;
	return mkdtemp(fixture->scratch.folder) && postgres_init(&fixture->postgres, fixture->scratch.folder) ? 0 : -1;
}

static int stop_server(void **state)
{
	struct fixture *fixture = *state;
	postgres_stop(&fixture->postgres);
	return scratch_teardown(state);
}

static struct pg *open_database(struct fixture *fixture, const char *name)
{
	char conninfo[160];
	struct error error;
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster dbname=%s",
		       fixture->postgres.port, name);
	struct pg *pg = pg_new(conninfo, "test", &error);
	assert_non_null(pg);
	// It listens before it lets anybody in.
	int64_t deadline = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!pg_ready(pg, &error)) {
		if (error.kind != ERROR_UNREACHABLE || clock_mono_ms() > deadline)
			fail_msg("%s", error.what);
		process_pause();
	}
	return pg;
}

static int new_database(void **state)
{
	struct fixture *fixture = *state;
	char name[16];
	char sql[64];
	struct pg *pg cleanup(pg_free_cleanup) = open_database(fixture, "postgres");
	(void)snprintf(name, sizeof(name), "d%d", fixture->databases++);
	(void)snprintf(sql, sizeof(sql), "create database %s", name);
	if (!pg_exec(pg, sql, NULL))
		return -1;
	fixture->pg = open_database(fixture, name);
	return 0;
}

static int close_database(void **state)
{
	struct fixture *fixture = *state;
	pg_free(fixture->pg);
	return 0;
}

static struct pg *pg_of(void **state)
{
	return ((struct fixture *)*state)->pg;
}

static int64_t number(struct pg *pg, const char *sql)
{
	struct error error;
	auto_pg_result struct pg_result *result = NULL;
	if (!pg_query(pg, &result, &error, sql, 0, NULL))
		fail_msg("%s", error.what);
	return pg_int(result, 0, 0);
}

static const struct migration two[] = {{1, "0001_one", "create table one (a int)"},
				       {2, "0002_two", "create table two (a int); insert into two values (2)"}};

static void pending_ones_are_applied_once(void **state)
{
	struct pg *pg = pg_of(state);
	struct error error;
	size_t applied = 9;
	assert_true(migrate(pg, two, 1, &applied, &error));
	assert_int_equal(applied, 1);
	assert_true(migrate(pg, two, 2, &applied, &error));
	assert_int_equal(applied, 1);
	assert_true(migrate(pg, two, 2, &applied, &error));
	assert_int_equal(applied, 0);
	assert_int_equal(number(pg, "select count(*) from two"), 1);
	assert_int_equal(number(pg, "select count(*) from schema_migration"), 2);
	assert_int_equal(number(pg, "select count(*) from pg_locks where locktype = 'advisory'"), 0);
}

static void a_changed_one_is_refused(void **state)
{
	struct pg *pg = pg_of(state);
	const struct migration changed[] = {{1, "0001_one", "create table one (a bigint)"}, two[1]};
	struct error error = {0};
	size_t applied;
	assert_true(migrate(pg, two, 1, &applied, &error));
	assert_false(migrate(pg, changed, 2, &applied, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_non_null(strstr(error.what, "0001_one"));
	assert_int_equal(number(pg, "select count(*) from pg_class where relname = 'two'"), 0);
}

static void an_unknown_one_is_refused(void **state)
{
	struct pg *pg = pg_of(state);
	struct error error = {0};
	size_t applied;
	assert_true(migrate(pg, two, 2, &applied, &error));
	assert_false(migrate(pg, two, 1, &applied, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_non_null(strstr(error.what, "0002_two"));
}

static void one_from_the_past_is_refused(void **state)
{
	struct pg *pg = pg_of(state);
	struct error error = {0};
	size_t applied;
	assert_true(migrate(pg, &two[1], 1, &applied, &error));
	assert_false(migrate(pg, two, 2, &applied, &error));
	assert_non_null(strstr(error.what, "0001_one"));
}

static void a_failing_one_leaves_nothing(void **state)
{
	struct pg *pg = pg_of(state);
	const struct migration bad[] = {two[0], {2, "0002_bad", "create table half (a int); select * from nowhere"}};
	struct error error = {0};
	size_t applied;
	assert_false(migrate(pg, bad, 2, &applied, &error));
	assert_non_null(strstr(error.what, "0002_bad"));
	assert_int_equal(applied, 1);
	assert_int_equal(number(pg, "select count(*) from pg_class where relname = 'half'"), 0);
	assert_int_equal(number(pg, "select count(*) from schema_migration"), 1);
}

static void status_tells_all_four_states(void **state)
{
	struct pg *pg = pg_of(state);
	const struct migration now[] = {two[0], {2, "0002_two", "select 1"}, {4, "0004_new", "select 4"}};
	struct migration_status status[MIGRATIONS_MAX];
	size_t count = 0;
	size_t applied;
	struct error error;
	assert_true(migrate_status(pg, two, 2, status, MIGRATIONS_MAX, &count, &error));
	assert_int_equal(count, 2);
	assert_int_equal(status[0].state, MIGRATION_PENDING);
	assert_true(migrate(pg, two, 2, &applied, &error));
	assert_true(pg_exec(pg, "insert into schema_migration (version, name, sha256) values (3, '0003_theirs', 'x')",
			    &error));
	assert_true(migrate_status(pg, now, 3, status, MIGRATIONS_MAX, &count, &error));
	assert_int_equal(count, 4);
	static const enum migration_state expected[] = {MIGRATION_APPLIED, MIGRATION_CHANGED, MIGRATION_UNKNOWN,
							MIGRATION_PENDING};
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(status[i].version, i + 1);
		assert_int_equal(status[i].state, expected[i]);
	}
}

static void the_built_in_ones_apply(void **state)
{
	struct pg *pg = pg_of(state);
	size_t count = 0;
	size_t applied = 0;
	struct error error = {0};
	const struct migration *list = migrations(&count);
	assert_true(count >= 1);
	assert_int_equal(list[0].version, 1);
	if (!migrate(pg, list, count, &applied, &error))
		fail_msg("%s", error.what);
	assert_int_equal(applied, count);
	assert_int_equal(number(pg, "select count(*) from device"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_database, close_database)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pending_ones_are_applied_once), TEST(a_changed_one_is_refused),
		TEST(an_unknown_one_is_refused),     TEST(one_from_the_past_is_refused),
		TEST(a_failing_one_leaves_nothing),  TEST(status_tells_all_four_states),
		TEST(the_built_in_ones_apply),
	};
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
