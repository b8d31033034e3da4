// Against a real PostgreSQL with the project's migrations. Time is passed in, so nothing here waits.
#include "ingest/presence.h"

#include "tests/unit/ingest/storing.h"

#define GRACE_MS 30000

static void status_of(const char *device, const char *payload, bool retain, const char *why, const char *session)
{
	char topic[64];
	struct mqtt_property properties[2];
	size_t count = 0;
	if (why)
		properties[count++] = (struct mqtt_property){"why", why};
	if (session)
		properties[count++] = (struct mqtt_property){"session", session};
	(void)snprintf(topic, sizeof(topic), "fleet/v1/%s/status", device);
	take_with(topic, payload, retain, properties, count);
}

static void status(const char *payload, const char *why, const char *session)
{
	status_of("d1", payload, false, why, session);
}

static void is(const char *expected)
{
	says("select concat_ws(' ', presence, presence_why, session) from device_state where device = 'd1'", expected);
}

static void events_are(const char *expected)
{
	says("select coalesce(string_agg(seq || ' ' || substr(type, 10) || ' ' || (body->>'why'), ', ' order by seq), "
	     "'') "
	     "from event where device = 'd1' and epoch = '-presence'",
	     expected);
}

static void sweep(struct store *store, int64_t mono_ms)
{
	struct error error = {0};
	if (!store_sweep_presence(store, mono_ms, &error))
		fail_msg("%s", error.what);
}

// A connection to a cell's broker that lasts long enough already.
static void connect_in(struct store *store, long cell)
{
	presence_init(&presence, "svc.ingest", cell, GRACE_MS);
	presence_connected(&presence, clock_mono_ms() - 2 * GRACE_MS);
	sweep(store, clock_mono_ms());
}

static void connect_long_ago(struct store *store)
{
	connect_in(store, 1);
}

static void test_will(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_long_ago(store);
	status("online", NULL, "5");
	commit(store);
	is("online status 5");
	status("offline", "will", "5");
	commit(store);
	is("online status 5"); // a broker that shuts down would say the same
	int64_t now_ms = clock_mono_ms();
	assert_in_range(presence_timeout_ms(&presence, now_ms), 1, PRESENCE_HOLD_MS);
	sweep(store, now_ms);
	is("online status 5");
	sweep(store, now_ms + PRESENCE_HOLD_MS);
	is("offline will 5");
	events_are("1 online status, 2 offline will");
	assert_int_equal(presence_timeout_ms(&presence, now_ms + 2 * PRESENCE_HOLD_MS), -1);
	status("online", NULL, "5"); // again
	take("fleet/v1/d1/telemetry", "{\"load1\":1}"); // late
	commit(store);
	is("offline will 5");
	take("fleet/v1/d1/event", "{\"type\":\"hello\"}");
	commit(store);
	is("online hello 5");
	events_are("1 online status, 2 offline will, 3 online hello");
}

static void test_goodbye(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_long_ago(store);
	status("online", NULL, "5");
	commit(store);
	status("offline", "goodbye", "5");
	commit(store);
	is("offline goodbye 5");
	status("offline", "goodbye", "5"); // again: no change
	commit(store);
	events_are("1 online status, 2 offline goodbye");
}

static void test_late_will(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_long_ago(store);
	status("online", NULL, "5");
	commit(store);
	status("online", NULL, "6");
	commit(store);
	status("offline", "will", "5");
	status_of("d1", "online", true, NULL, "5");
	commit(store);
	status("offline", "goodbye", "5");
	commit(store);
	sweep(store, clock_mono_ms() + 2 * PRESENCE_HOLD_MS);
	is("online status 6");
	status("offline", "will", "6");
	commit(store);
	status("online", NULL, "7"); // back at once: nobody need know
	commit(store);
	sweep(store, clock_mono_ms() + 2 * PRESENCE_HOLD_MS);
	is("online status 7");
	events_are("1 online status");
	status("online", NULL, "1"); // a device that counts anew: what it says live holds
	commit(store);
	is("online status 1");
}

static void test_came_and_went_in_one_batch(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_long_ago(store);
	status("online", NULL, "5");
	status("offline", "will", "5");
	commit(store);
	is("online status 5");
	sweep(store, clock_mono_ms() + 2 * PRESENCE_HOLD_MS);
	is("offline will 5");
	status("online", NULL, "6");
	status("offline", "goodbye", "6");
	status_of("d2", "online", false, NULL, "9");
	status_of("d2", "offline", false, "goodbye", "9");
	commit(store);
	is("offline goodbye 6");
	says("select presence || presence_why || session from device_state where device = 'd2'", "offlinegoodbye9");
}

static void test_broker_restart(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_long_ago(store);
	status_of("d1", "online", false, NULL, "5");
	status_of("d2", "online", false, NULL, "5");
	commit(store);
	status_of("d1", "offline", false, "will", "5"); // its last words
	status_of("d2", "offline", false, "will", "5");
	commit(store);
	presence_disconnected(&presence);
	int64_t now_ms = clock_mono_ms();
	assert_int_equal(presence_timeout_ms(&presence, now_ms), -1);
	sweep(store, now_ms + 10 * PRESENCE_HOLD_MS);
	is("online status 5");
	presence_connected(&presence, clock_mono_ms());
	status_of("d1", "offline", true, "will", "5"); // what it remembers
	status_of("d2", "offline", true, "will", "5");
	commit(store);
	now_ms = clock_mono_ms();
	sweep(store, now_ms + 10 * PRESENCE_HOLD_MS);
	is("online status 5");
	status_of("d2", "online", false, NULL, "6");
	commit(store);
	sweep(store, now_ms + GRACE_MS + 1000);
	is("offline broker-restart 5");
	events_are("1 online status, 2 offline broker-restart");
	says("select presence || presence_why || session from device_state where device = 'd2'", "onlinestatus6");
	assert_int_equal(number("select count(*) from event where device = 'd2'"), 1);
}

static void test_dies_within_the_grace(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	presence_init(&presence, "svc.ingest", 1, GRACE_MS);
	presence_connected(&presence, clock_mono_ms());
	status("online", NULL, "5"); // seen in this very connection: its will is its own
	commit(store);
	status("offline", "will", "5");
	commit(store);
	sweep(store, clock_mono_ms() + PRESENCE_HOLD_MS);
	is("offline will 5");
}

static void test_any_message_is_life_within_the_grace(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take("fleet/v1/d1/telemetry", "{\"load1\":1}");
	commit(store);
	is("online message");
	presence_init(&presence, "svc.ingest", 1, GRACE_MS);
	presence_connected(&presence, clock_mono_ms());
	status_of("d1", "offline", true, NULL, NULL);
	commit(store);
	take("fleet/v1/d1/telemetry", "{\"load1\":1}");
	commit(store);
	sweep(store, clock_mono_ms() + 2 * GRACE_MS);
	is("online message");
}

// What one process held, the next one of its name applies, after its own grace.
static void test_held_over_a_restart(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_long_ago(store);
	status("online", NULL, "5");
	commit(store);
	status("offline", "will", "5");
	commit(store);
	presence_init(&presence, "svc.other", 1, GRACE_MS);
	presence_connected(&presence, clock_mono_ms());
	sweep(store, clock_mono_ms() + 2 * GRACE_MS);
	is("online status 5"); // not this one's
	presence_init(&presence, "svc.ingest", 2, GRACE_MS); // nor that of another cell
	presence_connected(&presence, clock_mono_ms());
	sweep(store, clock_mono_ms() + 2 * GRACE_MS);
	is("online status 5");
	presence_init(&presence, "svc.ingest", 1, GRACE_MS);
	int64_t now_ms = clock_mono_ms();
	presence_connected(&presence, now_ms);
	sweep(store, now_ms + 1000);
	is("online status 5");
	sweep(store, now_ms + GRACE_MS);
	is("offline will 5");
}

static void cell_is(int cell)
{
	assert_int_equal(number("select coalesce(cell, 0) from device_state where device = 'd1'"), cell);
}

// It belongs to cell 1, does not count its connections, and moves to 2: what the broker of 1 still has to say is old.
static void test_another_cell(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_in(store, 1);
	status("online", NULL, NULL);
	commit(store);
	cell_is(1);
	connect_in(store, 2);
	take("fleet/v1/d1/telemetry", "{\"load1\":1}");
	status("online", NULL, NULL);
	commit(store);
	cell_is(2);
	connect_in(store, 1);
	status("offline", "will", NULL);
	commit(store);
	sweep(store, clock_mono_ms() + 2 * PRESENCE_HOLD_MS);
	status_of("d1", "online", true, NULL, NULL);
	commit(store);
	is("online status");
	cell_is(2);
	connect_in(store, 2);
	status("offline", "will", NULL);
	commit(store);
	sweep(store, clock_mono_ms() + 2 * PRESENCE_HOLD_MS);
	is("offline will");
	connect_in(store, 1); // it comes back, and goes at once
	status("online", NULL, NULL);
	status("offline", "goodbye", NULL);
	commit(store);
	is("offline goodbye");
	status("online", NULL, NULL);
	commit(store);
	cell_is(1);
	says("select string_agg(substr(type, 10) || coalesce(' in ' || (body ->> 'cell'), ''), ', ' order by seq) "
	     "from event where device = 'd1' and epoch = '-presence'",
	     "online, offline in 2, online");
	exec("delete from device_state"); // the first that is known of it
	connect_in(store, 2);
	take("fleet/v1/d1/telemetry", "{\"load1\":1}");
	commit(store);
	cell_is(2);
}

static void test_kick(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	connect_long_ago(store);
	status("online", NULL, "5");
	commit(store);
	exec("update device set enabled = false where device = 'd1'");
	take("fleet/v1/d1/telemetry", "{\"load1\":1}");
	status("offline", "will", "5");
	commit(store);
	sweep(store, clock_mono_ms() + 2 * PRESENCE_HOLD_MS);
	is("offline kick 5");
	assert_int_equal(number("select count(*) from telemetry"), 0);
	status("online", NULL, "6");
	commit(store);
	is("offline kick 5");
	assert_int_equal(number("select count(*) from quarantine where reason = 'disabled device'"), 2);
}

static void test_clock_jumps(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	struct error error = {0};
	connect_long_ago(store);
	status("online", NULL, "5");
	commit(store);
	// It was a year ahead, and is set back: fresh until now, not for a year.
	exec("update device_state set last_seen = now() + interval '1 year'");
	assert_true(store_clock_jumped(store, &error));
	assert_int_equal(
		number("select count(*) from device_state where last_seen between now() - interval '10 s' and now()"),
		1);
	// The same when the device is heard of first.
	exec("update device_state set last_seen = now() + interval '1 year'");
	take("fleet/v1/d1/telemetry", "{\"load1\":1}");
	commit(store);
	assert_int_equal(number("select count(*) from device_state where last_seen between now() - interval '10 s' "
				"and now() + interval '1 s'"), 1);
	// An older arrival does not take it back.
	exec("update device_state set last_seen = now()");
	take_at(clock_wall_ms() - 60000, "fleet/v1/d1/telemetry", "{\"load1\":1}", false);
	commit(store);
	assert_int_equal(number("select count(*) from device_state where last_seen > now() - interval '10 s'"), 1);
	is("online status 5");
	events_are("1 online status");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_will, setup),
		cmocka_unit_test_setup(test_goodbye, setup),
		cmocka_unit_test_setup(test_late_will, setup),
		cmocka_unit_test_setup(test_came_and_went_in_one_batch, setup),
		cmocka_unit_test_setup(test_broker_restart, setup),
		cmocka_unit_test_setup(test_dies_within_the_grace, setup),
		cmocka_unit_test_setup(test_any_message_is_life_within_the_grace, setup),
		cmocka_unit_test_setup(test_held_over_a_restart, setup),
		cmocka_unit_test_setup(test_another_cell, setup),
		cmocka_unit_test_setup(test_kick, setup),
		cmocka_unit_test_setup(test_clock_jumps, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
