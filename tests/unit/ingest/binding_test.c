// Against a real PostgreSQL with the project's migrations.
#include "ingest/binding.h"

#include "tests/unit/ingest/storing.h"

static void hello(char digit)
{
	char said[FINGERPRINT_BYTES];
	char text[160];
	memset(said, digit, sizeof(said) - 1);
	said[sizeof(said) - 1] = '\0';
	(void)snprintf(text, sizeof(text), "{\"type\":\"hello\",\"epoch\":\"e\",\"fingerprint\":\"%s\"}", said);
	take("fleet/v1/d1/event", text);
}

// As hello, with user properties of which the guard's is the last.
static void hello_from(char digit, const char *peer)
{
	const struct mqtt_property properties[] = {{"peer", "203.0.113.9"}, {"peer", peer}};
	struct mqtt_message in = {
		.topic = "fleet/v1/d1/event", .qos = 1, .properties = properties, .property_count = 2};
	char text[160], said[FINGERPRINT_BYTES] = "";

	memset(said, digit, sizeof(said) - 1);
	(void)snprintf(text, sizeof(text), "{\"type\":\"hello\",\"epoch\":\"e\",\"fingerprint\":\"%s\"}", said);
	in.payload = text;
	in.payload_bytes = strlen(text);
	assert_true(inlet_take(&inlet, &batch, &in, clock_wall_ms()));
}

static void later(void)
{
	exec("update device set mismatch_at = mismatch_at - interval '2 seconds'");
}

static void start(void)
{
	exec("update device set fingerprint = null, mismatches = 0, mismatch_at = null, enabled = true;"
	     " delete from revocation; delete from event where epoch = '-identity'; delete from enrollment_event");
}

static void test_the_first_hello_binds(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	start();
	take("fleet/v1/d1/event", "{\"type\":\"hello\",\"epoch\":\"e\"}");
	commit(store);
	assert_int_equal(number("select count(*) from device where fingerprint is not null"), 0);
	hello('a');
	commit(store);
	says("select fingerprint = repeat('a', 64) from device where device = 'd1'", "t");
	hello('a');
	commit(store);
	assert_int_equal(number("select mismatches from device where device = 'd1'"), 0);
	assert_int_equal(number("select count(*) from device where device = 'd2' and fingerprint is not null"), 0);
}

static void test_another_is_counted_once_a_session(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	start();
	hello('a');
	commit(store);
	hello('b');
	hello('b');
	commit(store);
	hello('c');
	commit(store);
	says("select concat_ws('|', mismatches, fingerprint = repeat('a', 64),"
	     " mismatch_fingerprint = repeat('b', 64), enabled) from device where device = 'd1'", "1|t|t|t");
	says("select concat_ws('|', body->>'count', body->>'max', body->>'bound' = repeat('a', 64)) from event"
	     " where type = 'fingerprint.mismatch'", "1|5|t");
	assert_int_equal(number("select count(*) from enrollment_event where type = 'mismatch' and device = 'd1'"), 1);
	later();
	hello('a');
	commit(store);
	assert_int_equal(number("select mismatches from device where device = 'd1'"), 1);
}

static void test_it_is_known_from_where(void **state)
{
	static const struct {
		const char *said, *kept;
	} peers[] = {{"192.0.2.7", "192.0.2.7"},
		     {"fe80::1%eth0", "fe80::1%eth0"},
		     {"", "none"},
		     {"not, {an} address", "none"}};
	struct store *store cleanup(store_free_cleanup) = new_store(false);

	start();
	hello('a');
	commit(store);
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		later();
		hello_from('b', peers[i].said);
		commit(store);
		says("select coalesce(mismatch_peer, 'none') from device where device = 'd1'", peers[i].kept);
		says("select coalesce(peer, 'none') from device_mismatch where device = 'd1' order by at desc limit 1",
		     peers[i].kept);
		says("select coalesce(body ->> 'peer', 'none') from event where type = 'fingerprint.mismatch' order by "
		     "seq desc limit 1",
		     peers[i].kept);
	}
	later();
	hello('b'); // no guard has seen it
	commit(store);
	says("select coalesce(mismatch_peer, 'none') from device where device = 'd1'", "none");
}

static void test_addresses_go_with_their_time(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);

	start();
	hello('a');
	commit(store);
	hello_from('b', "192.0.2.7");
	commit(store);
	says("select sweep_inventory_changes(30, 1000)::text", "0");
	exec("update device_mismatch set at = at - interval '31 days'; update device set mismatch_at = mismatch_at - "
	     "interval '31 days'");
	says("select sweep_inventory_changes(30, 1000)::text", "1");
	assert_int_equal(number("select count(*) from device_mismatch"), 0);
	says("select coalesce(mismatch_peer, 'none') from device where device = 'd1'", "none");
	assert_int_equal(number("select mismatches from device where device = 'd1'"), 1);
}

static void test_the_fifth_disables(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	start();
	hello('a');
	commit(store);
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(number("select count(*) from revocation"), 0);
		later();
		hello('b');
		commit(store);
	}
	says("select concat_ws('|', enabled, disabled_by, disabled_reason) from device where device = 'd1'",
	     "f|ingest|it said to be another machine 5 times");
	assert_int_equal(number("select count(*) from revocation where kind = 'device' and name = 'd1' and revoked"),
			 1);
	later();
	hello('b');
	commit(store); // goes to quarantine like all that it says
	says("select string_agg(concat_ws('|', count, bound = repeat('a', 64), said = repeat('b', 64)), ' ' order by at)"
	     " from device_mismatch where device = 'd1'", "1|t|t 2|t|t 3|t|t 4|t|t 5|t|t");
	for (int i = 0; i < 60; i++) { // each in a transaction of its own
		exec("update device set mismatches = mismatches + 1, mismatch_at = clock_timestamp() where device = 'd1'");
	}
	says("select concat_ws('|', count(*), max(count)) from device_mismatch where device = 'd1'", "50|65");
	exec("select restore_device('d1', '', 'test')");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_the_first_hello_binds, setup),
		cmocka_unit_test_setup(test_another_is_counted_once_a_session, setup),
		cmocka_unit_test_setup(test_it_is_known_from_where, setup),
		cmocka_unit_test_setup(test_addresses_go_with_their_time, setup),
		cmocka_unit_test_setup(test_the_fifth_disables, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
