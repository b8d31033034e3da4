// Against a real PostgreSQL with the project's migrations.
#include "ingest/store.h"

#include "ingest/inlet.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"

#include <glob.h>

enum { BATCH_MAX = 100, MODEL_SEQS = 300 };

static struct postgres postgres;
static struct pg *admin;
static struct metrics *metrics;
static struct batch batch;
static struct inlet inlet;

static void exec(const char *sql)
{
	struct error error = {0};
	if (!pg_ready(admin, &error) || !pg_exec(admin, sql, &error))
		fail_msg("%.80s: %s", sql, error.what);
}

static int64_t number(const char *sql)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(admin, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	return pg_int(result, 0, 0);
}

static void says(const char *sql, const char *expected)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(admin, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	const char *text = pg_text(result, 0, 0);
	if (!text || strcmp(text, expected) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", sql, text ? text : "null", expected);
}

static struct store *new_store(bool auto_register)
{
	char conninfo[128];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster_ingest dbname=postgres",
		       postgres.port);
	const struct store_options options = {conninfo, auto_register, metrics};
	struct store *store = store_new(&options, &error);
	if (!store)
		fail_msg("%s", error.what);
	return store;
}

// Until the server, which listens before it answers, lets us in.
static bool await_ready(struct error *error)
{
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!pg_ready(admin, error)) {
		if (clock_mono_ms() > deadline_ms)
			return false;
		process_pause();
	}
	return true;
}

static int migrate(void)
{
	glob_t files;
	if (glob(MUSTER_SOURCE_DIR "/db/migrations/*.sql", 0, NULL, &files) != 0)
		return -1;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		struct error error = {0};
		char *sql auto_free = file_read(files.gl_pathv[i], 1 << 20, NULL, &error);
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
	char conninfo[128];
	struct error error = {0};
	if (scratch_setup(state) != 0 || !postgres_init(&postgres, ((struct scratch *)*state)->folder))
		return -1;
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster dbname=postgres", postgres.port);
	admin = pg_new(conninfo, "store-test", &error);
	metrics = metrics_new();
	inlet_init(&inlet);
	if (!admin || !metrics || !await_ready(&error) || !batch_init(&batch, BATCH_MAX, &error)) {
		(void)fprintf(stderr, "%s\n", error.what);
		return -1;
	}
	return migrate();
}

static int group_teardown(void **state)
{
	pg_free(admin);
	metrics_free(metrics);
	batch_done(&batch);
	postgres_stop(&postgres);
	return scratch_teardown(state);
}

static int setup(void **state)
{
	batch_clear(&batch);
	exec("truncate device, device_state, telemetry, event, inventory, command_result, ledger, quarantine cascade;"
	     "insert into device (device) values ('d1'), ('d2'); insert into device (device, enabled) values ('off', "
	     "false)");
	return 0;
}

static void take_at(int64_t received_ms, const char *topic, const char *payload, bool retain)
{
	const struct mqtt_message in = {
		.topic = topic, .payload = payload, .payload_bytes = strlen(payload), .qos = 1, .retain = retain};
	assert_true(inlet_take(&inlet, &batch, &in, received_ms));
}

static void take(const char *topic, const char *payload)
{
	take_at(clock_wall_ms(), topic, payload, false);
}

static void take_seq(int seq)
{
	char payload[128];
	(void)snprintf(payload, sizeof(payload), "{\"epoch\":\"e\",\"seq\":%d,\"ts\":%d,\"uptime_s\":%d}", seq,
		       1000 + seq, seq);
	take("fleet/v1/d1/telemetry", payload);
}

static void take_hello(int oldest_seq)
{
	char payload[128];
	(void)snprintf(payload, sizeof(payload), "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":%d}", oldest_seq);
	take("fleet/v1/d1/event", payload);
}

static int64_t last_mark; // of the epoch that comes first in the last COMMIT

static void on_committed(void *user, const struct summary *summary)
{
	last_mark = summary->epoch_count > 0 ? summary->epochs[0]->contiguous : -1;
}

static bool try_commit(struct store *store, struct error *error)
{
	return store_batch(store, &batch, on_committed, NULL, error);
}

static void commit(struct store *store)
{
	struct error error = {0};
	if (!try_commit(store, &error))
		fail_msg("%s (%s)", error.what, error.where);
	assert_int_equal(batch.done, batch.count);
	batch_clear(&batch);
}

static int64_t mark(void)
{
	int64_t stored = number("select contiguous from ledger where device = 'd1' and epoch = 'e'");
	assert_int_equal(stored, last_mark); // what is said is what is stored
	return stored;
}

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
	says("select type || body from event where device = 'd1'", "boot{\"why\": [1]}");
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

static void test_state_of_a_device(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take("fleet/v1/d1/telemetry", "{\"ts\":2000,\"battery_pct\":20,\"load1\":2,\"a\":1}");
	commit(store);
	take("fleet/v1/d1/telemetry", "{\"ts\":1000,\"battery_pct\":10,\"cpu_pct\":1,\"b\":1}");
	commit(store);
	says("select concat_ws('|', battery_pct, load1, cpu_pct, custom, extract(epoch from ts)::int) from "
	     "device_state",
	     "20|2|1|{\"a\": 1}|2");
	take("fleet/v1/d1/telemetry", "{\"ts\":3000,\"battery_pct\":30}");
	take("fleet/v1/d1/event", "{\"type\":\"hello\",\"agent_version\":\"9\",\"interval_s\":15}");
	commit(store);
	says("select concat_ws('|', battery_pct, load1, agent_version, interval_s, presence, presence_why) from "
	     "device_state",
	     "30|2|9|15|online|hello"); // better evidence of the same

	take("fleet/v1/d1/status", "offline");
	commit(store);
	says("select presence || presence_why || (presence_since > first_seen) from device_state", "offlinestatustrue");
	take("fleet/v1/d1/telemetry", "{\"ts\":4000}");
	commit(store);
	says("select presence from device_state", "offline"); // a late message does not bring it back
	take("fleet/v1/d1/event", "{\"type\":\"hello\"}");
	commit(store);
	says("select presence || presence_why from device_state", "onlinehello");
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

static void test_inventory_replaces(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take("fleet/v1/d1/inventory/network", "{\"ts\":2000,\"v\":2}");
	take("fleet/v1/d1/inventory/network", "{\"ts\":3000,\"v\":3}");
	take("fleet/v1/d1/inventory/network", "{\"ts\":1000,\"v\":1}");
	commit(store);
	says("select body from inventory", "{\"v\": 3}");
	take("fleet/v1/d1/inventory/network", "{\"ts\":2000,\"v\":2}");
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
	assert_true(await_ready(&error));
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

static void test_partitions(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	struct error error = {0};
	assert_true(store_partitions(store, &error));
	assert_true(store_partitions(store, &error));
	assert_true(number("select count(*) from pg_inherits where inhparent = 'telemetry'::regclass") >= 9);
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
		cmocka_unit_test_setup(test_inventory_replaces, setup),
		cmocka_unit_test_setup(test_database_away, setup),
		cmocka_unit_test_setup(test_refused_commit, setup),
		cmocka_unit_test_setup(test_any_order, setup),
		cmocka_unit_test_setup(test_partitions, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
