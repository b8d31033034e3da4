// Against a real PostgreSQL with the project's migrations.
#include "common/part_state.h"

#include "common/clock.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"
#include "tests/unit/support/schema.h"

#define auto_pg cleanup(pg_free_cleanup)

static struct postgres postgres;
static struct pg *owner;

static struct pg *connect_as(const char *user)
{
	char conninfo[128];
	struct error error = {0};

	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=%s dbname=postgres", postgres.port,
		       user);
	struct pg *pg = pg_new(conninfo, "part-state-test", &error);
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;

	assert_non_null(pg);
	while (!pg_ready(pg, &error)) { // the server listens before it answers
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%s", error.what);
		process_pause();
	}
	return pg;
}

static void exec(const char *sql)
{
	struct error error = {0};

	if (!pg_exec(owner, sql, &error))
		fail_msg("%s: %s", sql, error.what);
}

static void says(const char *sql, const char *expected)
{
	struct error error = {0};
	auto_pg_result struct pg_result *result = NULL;

	if (!pg_query(owner, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	assert_string_equal(pg_text(result, 0, 0), expected);
}

// The row goes on as if its daemon had been heard that long ago.
static void let_pass(const char *interval)
{
	char sql[160];

	(void)snprintf(sql, sizeof(sql),
		       "update part_state set seen_at = seen_at - interval '%s', since = since - interval '%s'",
		       interval, interval);
	exec(sql);
}

static void tell(struct pg *pg, struct part_state *state, const char *why)
{
	struct error error = {0};

	if (!part_state_tell(state, pg, why, NULL, &error))
		fail_msg("%s", error.what);
}

static void it_is_due_after_a_while_and_whenever_things_change(void **state)
{
	struct part_state part;
	int64_t now_ms = clock_mono_ms();

	part_state_init(&part, "ingest", "svc.ingest", 3);
	assert_string_equal(part.instance, "svc.ingest@3");
	assert_true(part_state_due(&part, true, now_ms));
	auto_pg struct pg *ingest = connect_as("muster_ingest");

	tell(ingest, &part, NULL);
	now_ms = clock_mono_ms();
	assert_false(part_state_due(&part, true, now_ms));
	assert_true(part_state_due(&part, false, now_ms));
	assert_true(part_state_due(&part, true, now_ms + 10000));
	tell(ingest, &part, "no broker");
	assert_false(part_state_due(&part, false, clock_mono_ms()));
}

static void since_is_when_its_state_began(void **state)
{
	struct part_state part;
	auto_pg struct pg *ingest = connect_as("muster_ingest");

	exec("delete from part_state");
	part_state_init(&part, "ingest", "svc.ingest", 0);
	tell(ingest, &part, NULL);
	says("select concat_ws(' ', part, instance, state, why, version, detail ? 'host', detail ? 'pid') from "
	     "part_state",
	     "ingest svc.ingest ok  " MUSTER_VERSION " t t");
	let_pass("20 seconds");
	tell(ingest, &part, NULL);
	says("select since < now() - interval '19 seconds' and seen_at > now() - interval '5 seconds' from part_state",
	     "t");
	tell(ingest, &part, "no broker: look");
	says("select state || ' ' || why || ' ' || (since > now() - interval '5 seconds') from part_state",
	     "degraded no broker: look true");
	let_pass("20 seconds");
	tell(ingest, &part, "another reason");
	says("select why || ' ' || (since < now() - interval '19 seconds') from part_state", "another reason true");
	// A silence is a state, too.
	let_pass("1 minute");
	tell(ingest, &part, "another reason");
	says("select since > now() - interval '5 seconds' from part_state", "t");
}

static void nobody_speaks_for_another(void **state)
{
	struct part_state part;
	struct error error = {0};
	auto_pg struct pg *bridge = connect_as("muster_bridge");

	part_state_init(&part, "commander", "svc.commander", 0);
	assert_false(part_state_tell(&part, bridge, NULL, NULL, &error));
	assert_string_equal(error.where, "42501");
	assert_false(part_state_due(&part, true, clock_mono_ms())); // not at every turn
	assert_false(pg_exec(bridge,
			     "insert into part_state (part, instance, version, started_at, state) values"
			     " ('bridge', 'x', '1', now(), 'ok')",
			     &error));
}

static void who_is_gone_for_a_week_is_forgotten(void **state)
{
	struct part_state part;
	auto_pg struct pg *bridge = connect_as("muster_bridge");

	exec("delete from part_state");
	part_state_init(&part, "bridge", "old:1", 0);
	tell(bridge, &part, NULL);
	let_pass("8 days");
	part_state_init(&part, "bridge", "new:1", 0);
	tell(bridge, &part, NULL);
	says("select string_agg(instance, ' ') from part_state", "new:1");
}

static int group_setup(void **state)
{
	struct error error = {0};

	if (scratch_setup(state) != 0 || !postgres_init(&postgres, ((struct scratch *)*state)->folder))
		return -1;
	owner = connect_as("muster");
	if (!schema_init(owner, &error)) {
		(void)fprintf(stderr, "%s\n", error.what);
		return -1;
	}
	return 0;
}

static int group_teardown(void **state)
{
	pg_free(owner);
	postgres_stop(&postgres);
	return scratch_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_due_after_a_while_and_whenever_things_change),
		cmocka_unit_test(since_is_when_its_state_began),
		cmocka_unit_test(nobody_speaks_for_another),
		cmocka_unit_test(who_is_gone_for_a_week_is_forgotten),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
