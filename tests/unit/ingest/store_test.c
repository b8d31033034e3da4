// Against a real PostgreSQL with the project's migrations.
#include "ingest/store.h"

#include "tests/unit/ingest/storing.h"

enum { MODEL_SEQS = 300 };

static void test_every_kind(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take("fleet/v1/d1/status", "online");
	take("fleet/v1/d1/telemetry",
	     "[{\"epoch\":\"e\",\"seq\":1,\"ts\":\"2026-01-02T03:04:05.678Z\",\"battery_pct\":50.5,\"charging\":true,"
	     "\"load1\":0.25,\"mem_total\":8000000000,\"network_type\":\"wifi\",\"x\":\"\xc3\xa9\"},"
	     "{\"epoch\":\"e\",\"seq\":2,\"ts\":1}]");
	take("fleet/v1/d1/event", "{\"epoch\":\"e\",\"seq\":3,\"ts\":1,\"type\":\"boot\",\"why\":[1]}");
	take("fleet/v1/d1/inventory/network", "{\"epoch\":\"e\",\"seq\":4,\"ts\":5,\"mac\":\"a\"}");
	take("fleet/v1/d1/result", "{\"epoch\":\"e\",\"seq\":5,\"ts\":1,\"command\":\"c\",\"state\":\"failed\","
	     "\"reason\":\"r\"}");
	take("fleet/v1/d2/telemetry", "{\"cpu_pct\":7}");
	commit(store);
	assert_int_equal(mark(), 5);
	says("select concat_ws('|', battery_pct, charging, load1, mem_total, network_type, custom, extract(epoch "
	     "from ts), "
	     "cpu_pct is null) from telemetry where seq = 1 and epoch = 'e'",
	     "50.5|t|0.25|8000000000|wifi|{\"x\": \"\xc3\xa9\"}|1767323045.678000|t");
	says("select type || body from event where device = 'd1' and epoch = 'e'", "boot{\"why\": [1]}");
	says("select kind || body from inventory", "network{\"mac\": \"a\"}");
	says("select command || state || body || (applied_at is null) from command_result", "cfailed{\"reason\": "
	     "\"r\"}true");
	says("select presence || presence_why from device_state where device = 'd1'", "onlinestatus");
	says("select presence || presence_why || cpu_pct from device_state where device = 'd2'", "onlinemessage7");
	assert_int_equal(number("select count(*) from ledger"), 1); // none for what has no seq
	assert_int_equal(number("select count(*) from telemetry where device = 'd2' and epoch like '-%'"), 1);
}

static void test_gap_and_duplicates(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(1);
	take_seq(2);
	take_seq(4);
	commit(store);
	assert_int_equal(mark(), 2);
	take_seq(5);
	take_seq(5);
	take_seq(4);
	commit(store);
	assert_int_equal(mark(), 2);
	assert_int_equal(number("select duplicates from ledger"), 2);
	assert_int_equal(number("select received from ledger"), 6);
	take_seq(3);
	commit(store);
	assert_int_equal(mark(), 5); // goes on over what was stored behind the gap
	assert_int_equal(number("select count(*) from telemetry"), 5);
}

static void test_gap_over_all_kinds(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take("fleet/v1/d1/event", "{\"epoch\":\"e\",\"seq\":2,\"ts\":1,\"type\":\"boot\"}");
	take("fleet/v1/d1/result", "{\"epoch\":\"e\",\"seq\":3,\"ts\":1,\"command\":\"c\",\"state\":\"failed\"}");
	commit(store);
	assert_int_equal(mark(), 0);
	// Neither an inventory nor a refused message leaves a row with its seq.
	take("fleet/v1/d1/telemetry", "{\"epoch\":\"e\",\"seq\":5,\"ts\":1,\"load1\":-1}");
	take("fleet/v1/d1/inventory/network", "{\"epoch\":\"e\",\"seq\":4,\"ts\":5}");
	take_seq(1);
	commit(store);
	assert_int_equal(mark(), 5);
	says("select reason from quarantine", "load1 has the wrong type or is out of range");
}

static void test_hello_drops(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(1);
	take_seq(5);
	take_hello(1);
	commit(store);
	assert_int_equal(mark(), 1);
	take_hello(9); // 2, 3, 4, 6, 7 and 8 are gone; 5 is here
	take_seq(9);
	commit(store);
	assert_int_equal(mark(), 9);
	assert_int_equal(number("select dropped from ledger"), 6);
	take_hello(10);
	commit(store);
	assert_int_equal(mark(), 9);
	assert_int_equal(number("select dropped from ledger"), 6);
	take_hello(12); // alone
	commit(store);
	assert_int_equal(mark(), 11);
	assert_int_equal(number("select dropped from ledger"), 8);
	take_seq(10); // from a broker's queue after all: kept, the mark stays
	commit(store);
	assert_int_equal(mark(), 11);
	assert_int_equal(number("select count(*) from telemetry where seq = 10"), 1);
}

static void test_strangers(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(1);
	take("fleet/v1/new/telemetry", "{\"epoch\":\"e\",\"seq\":1,\"ts\":1}");
	take("fleet/v1/off/telemetry", "{\"epoch\":\"e\",\"seq\":1,\"ts\":1}");
	take("elsewhere", "x");
	commit(store);
	assert_int_equal(mark(), 1);
	says("select string_agg(coalesce(device, '') || ':' || reason, ', ' order by id) from quarantine",
	     "new:unknown device, off:disabled device, :the topic is none of ours, or names no device id");
	assert_int_equal(number("select count(*) from telemetry"), 1);
	assert_int_equal(number("select count(*) from ledger"), 1);
	assert_int_equal(number("select count(*) from device_state"), 1);

	struct store *open_store cleanup(store_free_cleanup) = new_store(true);
	take("fleet/v1/new/telemetry", "{\"epoch\":\"e\",\"seq\":1,\"ts\":1}");
	take("fleet/v1/off/telemetry", "{\"epoch\":\"e\",\"seq\":1,\"ts\":1}");
	commit(open_store);
	assert_int_equal(number("select count(*) from device where device = 'new'"), 1);
	assert_int_equal(number("select count(*) from telemetry where device = 'new'"), 1);
	assert_int_equal(number("select count(*) from telemetry where device = 'off'"), 0);
}

static void test_poison(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	exec("alter table telemetry add constraint poison check (uptime_s <> 13 and uptime_s <> 50)");
	for (int seq = 1; seq <= 60; seq++)
		take_seq(seq);
	commit(store);
	exec("alter table telemetry drop constraint poison");
	assert_int_equal(mark(), 60);
	assert_int_equal(number("select count(*) from telemetry"), 58);
	assert_int_equal(number("select count(*) from quarantine where reason like 'database: %violates check "
				"constraint%'"), 2);
	says("select convert_from(payload, 'UTF8') from quarantine order by id limit 1",
	     "{\"epoch\":\"e\",\"seq\":13,\"ts\":1013,\"uptime_s\":13}");
}

// ago_s before now, so that its ts counts.
static void take_ago(const char *topic, int ago_s, const char *members)
{
	char payload[160];
	(void)snprintf(payload, sizeof(payload), "{\"ts\":%lld,%s}", (long long)(clock_wall_ms() - ago_s * 1000LL),
		       members);
	take(topic, payload);
}

static void test_state_of_a_device(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_ago("fleet/v1/d1/telemetry", 20, "\"battery_pct\":20,\"load1\":2,\"a\":1");
	commit(store);
	take_ago("fleet/v1/d1/telemetry", 30, "\"battery_pct\":10,\"cpu_pct\":1,\"b\":1");
	commit(store);
	says("select concat_ws('|', battery_pct, load1, cpu_pct, custom, round(extract(epoch from now() - ts), -1)) "
	     "from "
	     "device_state",
	     "20|2|1|{\"a\": 1}|20");
	take_ago("fleet/v1/d1/telemetry", 10, "\"battery_pct\":30");
	take("fleet/v1/d1/event", "{\"type\":\"hello\",\"agent_version\":\"9\",\"interval_s\":15}");
	commit(store);
	says("select concat_ws('|', battery_pct, load1, agent_version, interval_s, presence, presence_why) from "
	     "device_state",
	     "30|2|9|15|online|hello"); // better evidence of the same
}

static void test_signs_of_life(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_at(clock_wall_ms(), "fleet/v1/d1/status", "online", true);
	take("fleet/v1/d2/status", "offline");
	commit(store);
	assert_int_equal(number("select count(*) from device_state where last_seen is null and first_seen is null"), 2);
	says("select presence from device_state where device = 'd1'", "online");
	take("fleet/v1/d1/status", "online");
	commit(store);
	assert_int_equal(number("select count(*) from device_state where last_seen is not null"), 1);
}

// A clock that is wrong misplaces nothing: the row keeps its ts, and everything else goes by measured_at.
static void test_wrong_clocks(void **state)
{
	static const struct mqtt_property age = {"age-ms", "60000"};
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take("fleet/v1/d1/telemetry", "{\"epoch\":\"e\",\"seq\":1,\"ts\":4070908800000,\"cpu_pct\":1}"); // 2099
	commit(store);
	take("fleet/v1/d1/telemetry", "{\"epoch\":\"e\",\"seq\":2,\"ts\":86400000,\"cpu_pct\":2}"); // 1970
	take_with("fleet/v1/d1/event", "{\"epoch\":\"e\",\"seq\":3,\"ts\":86400000,\"type\":\"boot\"}", false, &age, 1);
	commit(store);
	take("fleet/v1/d1/telemetry", "{\"epoch\":\"e\",\"seq\":2,\"ts\":86400000,\"cpu_pct\":2}"); // again
	commit(store);
	assert_int_equal(mark(), 3);
	assert_int_equal(number("select count(*) from telemetry"), 2);
	says("select string_agg(ts::date::text, ' ' order by seq) from telemetry", "2099-01-01 1970-01-02");
	assert_int_equal(number("select count(*) from telemetry where measured_at = received_at"), 2);
	assert_int_equal(number("select count(*) from event where measured_at = received_at - interval '1 minute' "
				"and extract(epoch from ts) = 86400"), 1);
	says("select cpu_pct::text from device_state", "2"); // the latest, whatever the clock said
	assert_int_equal(
		number("select count(*) from device_state where ts <= now() and ts > now() - interval '1 minute'"), 1);
}

static void test_inventory_replaces(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_ago("fleet/v1/d1/inventory/network", 20, "\"v\":2");
	take_ago("fleet/v1/d1/inventory/network", 10, "\"v\":3");
	take_ago("fleet/v1/d1/inventory/network", 30, "\"v\":1");
	commit(store);
	says("select body from inventory", "{\"v\": 3}");
	take_ago("fleet/v1/d1/inventory/network", 20, "\"v\":2");
	commit(store);
	says("select body from inventory", "{\"v\": 3}");
	take("fleet/v1/d1/inventory/network", "{\"ts\":\"2100-01-01T00:00:00Z\",\"v\":4}"); // a clock ahead
	commit(store);
	take_at(clock_wall_ms() + 1, "fleet/v1/d1/inventory/network", "{\"v\":5}", false);
	commit(store);
	says("select body from inventory", "{\"v\": 5}");
}

static void commit_when_back(struct store *store)
{
	struct error error = {0};
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!try_commit(store, &error)) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%s", error.what);
		process_pause();
	}
	batch_clear(&batch);
}

static void software(struct store *store, const char *packages)
{
	char text[512];
	(void)snprintf(text, sizeof(text), "{\"packages\":%s,\"manager\":\"dpkg\"}", packages);
	take("fleet/v1/d1/inventory/software", text);
	commit(store);
}

#define CHANGES                                                                                                        \
	"select string_agg(concat_ws(' ', change, name, before ->> 'version', after ->> 'version'), ', ' order by id)"  \
	" from inventory_change where device = 'd1'"

static void test_inventory_changes(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	exec("truncate inventory_change");
	software(store, "[{\"name\":\"a\",\"version\":\"1\"},{\"name\":\"b\",\"version\":\"1\"},\"c\"]");
	assert_int_equal(number("select count(*) from inventory_change"), 0); // nothing is known of before
	software(store, "[{\"name\":\"b\",\"version\":\"2\"},\"c\",{\"name\":\"d\",\"version\":\"1\"}]");
	says(CHANGES, "added d 1, changed b 1 2, removed a 1");
	software(store, "[{\"name\":\"d\",\"version\":\"1\"},\"c\",{\"name\":\"b\",\"version\":\"2\"}]");
	assert_int_equal(number("select count(*) from inventory_change"), 3); // the order is none
}

// What it sends is stored, whatever it is, and its history stays within bounds.
static void test_inventory_of_a_hostile_device(void **state)
{
	static const char *const odd[] = {
		"{}",
		"[1,[2,[3]],null,true,{\"name\":{\"x\":1}},{\"name\":null},\"\",{\"name\":7}]",
		"null",
		"{\"packages\":{\"name\":[]}}",
		"[[],[],{},{}]",
		"[{\"name\":\"a\",\"v\":1},{\"name\":\"a\",\"v\":2}]",
		"[{\"name\":\"a\",\"v\":2},{\"name\":\"a\",\"v\":3},{\"name\":\"a\",\"v\":4}]",
	};
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	exec("truncate inventory_change");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		int64_t before = number("select coalesce(max(id), 0) from inventory_change");
		software(store, odd[i]);
		assert_true(i == 0 || number("select max(id) from inventory_change") > before); // none was passed over
	}
	assert_int_equal(number("select count(*) from inventory_change where name = 'a'"), 2); // a name counts once
	exec("truncate inventory_change; update inventory set body = (select jsonb_build_object('list', jsonb_agg("
	     "jsonb_build_object('name', i, 'v', repeat('x', 2000)))) from generate_series(1, 10000) i)");
	says("select concat_ws('|', count(*), max(after::text) filter (where change = 'rest'), max(length(after::text)) < 600)"
	     " from inventory_change", "201|9802|t");
	for (int i = 0; i < 12; i++) // all of them other ones
		exec("update inventory set body = (select jsonb_build_object('list', jsonb_agg(jsonb_build_object('name',"
		     " i + (select max(id) from inventory_change)))) from generate_series(1, 150) i)");
	assert_int_equal(number("select count(*) from inventory_change"), 2000);
	exec("alter table inventory_change rename to elsewhere; update inventory set body = '{}';"
	     "alter table elsewhere rename to inventory_change");
	says("select body from inventory", "{}"); // also where its history cannot be written
}

static void test_database_away(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	struct error error = {0};
	take_seq(1);
	commit(store);
	postgres_stop(&postgres);
	take_seq(2);
	take_seq(3);
	assert_false(try_commit(store, &error));
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_int_equal(batch.done, 0);
	assert_false(try_commit(store, &error));
	assert_true(postgres_start(&postgres));
	await_ready(admin);
	commit_when_back(store);
	assert_int_equal(mark(), 3);
	assert_int_equal(number("select count(*) from telemetry"), 3);
}

static void test_refused_commit(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	struct error error = {0};
	take_seq(1);
	exec("revoke insert on telemetry from muster_ingest");
	assert_false(try_commit(store, &error)); // not the row's fault: it waits
	assert_int_equal(batch.done, 0);
	assert_int_equal(number("select count(*) from quarantine"), 0);
	exec("grant insert on telemetry to muster_ingest");
	commit(store);
	assert_int_equal(mark(), 1);
}

// Messages in any order, some several times, in batches of any size, through two programs in turn: the mark is always
// the end of what came without a gap, and in the end everything is there once.
static void test_any_order(void **state)
{
	struct store *stores[2] = {new_store(false), new_store(false)};
	static bool came[MODEL_SEQS + 2];
	int order[2 * MODEL_SEQS];
	unsigned random = 20260101;
	memset(came, 0, sizeof(came));
	for (int i = 0; i < 2 * MODEL_SEQS; i++)
		order[i] = i / 2 + 1;
	for (int i = 0; i < 2 * MODEL_SEQS; i++) { // not far from their places
		random = random * 1103515245 + 12345;
		int other = i + (int)(random >> 16) % 20;
		if (other < 2 * MODEL_SEQS) {
			int kept = order[i];
			order[i] = order[other];
			order[other] = kept;
		}
	}
	for (int i = 0; i < 2 * MODEL_SEQS;) {
		random = random * 1103515245 + 12345;
		int end = i + 1 + (int)(random >> 16) % 12;
		for (; i < end && i < 2 * MODEL_SEQS; i++) {
			take_seq(order[i]);
			came[order[i]] = true;
		}
		commit(stores[random >> 20 & 1]);
		int expected = 0;
		while (came[expected + 1])
			expected++;
		assert_int_equal(mark(), expected);
	}
	assert_int_equal(number("select count(*) from telemetry"), MODEL_SEQS);
	assert_int_equal(number("select received from ledger"), 2 * MODEL_SEQS);
	assert_int_equal(number("select duplicates from ledger"), MODEL_SEQS);
	store_free(stores[0]);
	store_free(stores[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_every_kind, setup),
		cmocka_unit_test_setup(test_gap_and_duplicates, setup),
		cmocka_unit_test_setup(test_gap_over_all_kinds, setup),
		cmocka_unit_test_setup(test_hello_drops, setup),
		cmocka_unit_test_setup(test_strangers, setup),
		cmocka_unit_test_setup(test_poison, setup),
		cmocka_unit_test_setup(test_state_of_a_device, setup),
		cmocka_unit_test_setup(test_signs_of_life, setup),
		cmocka_unit_test_setup(test_wrong_clocks, setup),
		cmocka_unit_test_setup(test_inventory_replaces, setup),
		cmocka_unit_test_setup(test_inventory_changes, setup),
		cmocka_unit_test_setup(test_inventory_of_a_hostile_device, setup),
		cmocka_unit_test_setup(test_database_away, setup),
		cmocka_unit_test_setup(test_refused_commit, setup),
		cmocka_unit_test_setup(test_any_order, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
