#include "ingest/sight.h"

#include "tests/unit/ingest/storing.h"

static struct sight sight;

static int setup_sight(void **state)
{
	exec("truncate ingest_sight");
	sight_init(&sight, "svc.ingest", 3);
	return 0;
}

static void tell(int64_t mono_ms)
{
	struct error error = {0};

	if (!sight_tell(&sight, admin, mono_ms, &error))
		fail_msg("%s", error.what);
}

static void nothing_is_said_without_a_connection(void **state)
{
	assert_int_equal(sight_timeout_ms(&sight, 1000), -1);
	tell(1000);
	assert_int_equal(number("select count(*) from ingest_sight"), 0);
	sight_connected(&sight, 1000);
	sight_lost(&sight);
	assert_int_equal(sight_timeout_ms(&sight, 1000), -1);
	tell(1000);
	assert_int_equal(number("select count(*) from ingest_sight"), 0);
}

static void it_is_said_at_once_and_then_now_and_then(void **state)
{
	sight_connected(&sight, 1000);
	assert_int_equal(sight_timeout_ms(&sight, 1000), 0);
	tell(1000);
	says("select client || ' ' || cell from ingest_sight", "svc.ingest 3");
	assert_int_equal(sight_timeout_ms(&sight, 1500), SIGHT_EVERY_MS - 500);
	exec("update ingest_sight set seen_at = 'epoch'");
	tell(1000 + SIGHT_EVERY_MS - 1);
	says("select seen_at = 'epoch' from ingest_sight", "t");
	tell(1000 + SIGHT_EVERY_MS);
	says("select seen_at > now() - interval '1 minute' from ingest_sight", "t");
}

// Since when is told by its age: clocks of machines differ.
static void a_new_connection_is_a_new_one(void **state)
{
	sight_connected(&sight, 1000);
	tell(61000);
	says("select now() - connected_since between interval '60 s' and interval '70 s' from ingest_sight", "t");
	sight_lost(&sight);
	sight_connected(&sight, 70000);
	tell(71000);
	says("select now() - connected_since between interval '1 s' and interval '10 s' from ingest_sight", "t");
	assert_int_equal(number("select count(*) from ingest_sight"), 1);
}

static void a_database_that_is_away_is_not_asked_all_the_time(void **state)
{
	struct error error = {0};
	struct pg *away = pg_new("host=127.0.0.1 port=1 dbname=none", "sight-test", &error);

	sight_connected(&sight, 1000);
	assert_false(sight_tell(&sight, away, 1000, &error));
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_int_equal(sight_timeout_ms(&sight, 1000), SIGHT_EVERY_MS);
	pg_free(away);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_is_said_without_a_connection, setup_sight),
		cmocka_unit_test_setup(it_is_said_at_once_and_then_now_and_then, setup_sight),
		cmocka_unit_test_setup(a_new_connection_is_a_new_one, setup_sight),
		cmocka_unit_test_setup(a_database_that_is_away_is_not_asked_all_the_time, setup_sight),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
