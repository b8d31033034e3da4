// What the tests of everything behind the store share: a real PostgreSQL with the project's migrations, a batch, and
// two devices, d1 and d2.
#pragma once

#include "ingest/inlet.h"
#include "ingest/store.h"
#include "tests/unit/sql.h"

enum { BATCH_MAX = 100 };

static struct metrics *metrics;
static struct batch batch;
static struct inlet inlet;
static struct presence presence;
static struct excess excess;

static inline struct store *new_store(bool auto_register)
{
	char conninfo[128];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster_ingest dbname=postgres",
		       postgres.port);
	const struct store_options options = {
		.conninfo = conninfo, .auto_register = auto_register, .presence = &presence, .excess = &excess,
		.metrics = metrics,
		.mismatch_max = 5};
	struct store *store = store_new(&options, &error);
	if (!store)
		fail_msg("%s", error.what);
	return store;
}

static inline int group_setup(void **state)
{
	struct error error = {0};
	if (scratch_setup(state) != 0 || !sql_init(((struct scratch *)*state)->folder))
		return -1;
	metrics = metrics_new();
	inlet_init(&inlet);
	const struct limits limits = {0};
	if (!metrics || !excess_init(&excess, &limits, metrics, 0, &error) ||
	    !batch_init(&batch, BATCH_MAX, &error)) {
		(void)fprintf(stderr, "%s\n", error.what);
		return -1;
	}
	return 0;
}

static inline int group_teardown(void **state)
{
	excess_done(&excess);
	metrics_free(metrics);
	batch_done(&batch);
	sql_done();
	return scratch_teardown(state);
}

static inline int setup(void **state)
{
	batch_clear(&batch);
	presence_init(&presence, "svc.ingest", 1, 0);
	exec("truncate device, device_state, telemetry, event, inventory, command_result, ledger, ledger_gap, "
	     "quarantine cascade;"
	     "insert into device (device) values ('d1'), ('d2'); insert into device (device, enabled) values ('off', "
	     "false)");
	return 0;
}

static inline void take_at(int64_t received_ms, const char *topic, const char *payload, bool retain)
{
	const struct mqtt_message in = {
		.topic = topic, .payload = payload, .payload_bytes = strlen(payload), .qos = 1, .retain = retain};
	assert_true(inlet_take(&inlet, &batch, &in, received_ms));
}

static inline void take_with(const char *topic, const char *payload, bool retain,
			     const struct mqtt_property *properties, size_t count)
{
	const struct mqtt_message in = {
		.topic = topic,
		.payload = payload,
		.payload_bytes = strlen(payload),
		.qos = 1,
		.retain = retain,
		.properties = properties,
		.property_count = count,
	};
	assert_true(inlet_take(&inlet, &batch, &in, clock_wall_ms()));
}

static inline void take(const char *topic, const char *payload)
{
	take_at(clock_wall_ms(), topic, payload, false);
}

static inline void take_seq(int seq)
{
	char payload[128];
	(void)snprintf(payload, sizeof(payload), "{\"epoch\":\"e\",\"seq\":%d,\"ts\":%d,\"uptime_s\":%d}", seq,
		       1000 + seq, seq);
	take("fleet/v1/d1/telemetry", payload);
}

static inline void take_hello(int oldest_seq)
{
	char payload[128];
	(void)snprintf(payload, sizeof(payload), "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":%d}", oldest_seq);
	take("fleet/v1/d1/event", payload);
}

static int64_t last_mark; // of the epoch that comes first in the last COMMIT

static inline void on_committed(void *user, const struct summary *summary, const struct message *messages, size_t count)
{
	last_mark = summary->epoch_count > 0 ? summary->epochs[0]->contiguous : -1;
}

static inline bool try_commit(struct store *store, struct error *error)
{
	return store_batch(store, &batch, on_committed, NULL, error);
}

static inline void commit(struct store *store)
{
	struct error error = {0};
	if (!try_commit(store, &error))
		fail_msg("%s (%s)", error.what, error.where);
	assert_int_equal(batch.done, batch.count);
	batch_clear(&batch);
}

static inline int64_t mark(void)
{
	int64_t stored = number("select contiguous from ledger where device = 'd1' and epoch = 'e'");
	assert_int_equal(stored, last_mark); // what is said is what is stored
	return stored;
}
