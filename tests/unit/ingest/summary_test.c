#include "ingest/summary.h"

#include "ingest/inlet.h"
#include "tests/unit/scratch.h"

#define RECEIVED_MS 1767225600000

static struct batch batch;
static struct inlet inlet;
static struct summary summary;

static int setup(void **state)
{
	struct error error = {0};
	inlet_init(&inlet);
	summary_init(&summary);
	return batch_init(&batch, 100, &error) ? 0 : -1;
}

static int teardown(void **state)
{
	summary_done(&summary);
	batch_done(&batch);
	return 0;
}

static struct message *take(const char *topic, const char *payload, bool retain, const char *response_topic)
{
	const struct mqtt_message in = {.topic = topic,
					.payload = payload,
					.payload_bytes = strlen(payload),
					.qos = 1,
					.retain = retain,
					.response_topic = response_topic};
	assert_true(inlet_take(&inlet, &batch, &in, RECEIVED_MS));
	return &batch.messages[batch.count - 1];
}

static void seqs(const char *device, const char *epoch, const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char topic[64];
		char payload[128];
		(void)snprintf(topic, sizeof(topic), "fleet/v1/%s/telemetry", device);
		(void)snprintf(payload, sizeof(payload), "{\"epoch\":\"%s\",\"seq\":%d,\"ts\":1}", epoch, list[i]);
		(void)take(topic, payload, false, NULL);
	}
}

// Each device's messages can be walked in the order in which they came; a stranger's cannot.
static void test_messages_of_a_device(void **state)
{
	static const struct {
		const char *device;
		size_t places[3], count;
	} expected[] = {{"d1", {1, 4}, 2}, {"d2", {0, 2, 5}, 3}};
	seqs("d2", "e", (const int[]){1}, 1);
	seqs("d1", "e", (const int[]){1}, 1);
	seqs("d2", "e", (const int[]){2}, 1);
	seqs("gone", "e", (const int[]){1}, 1);
	batch.messages[3].foreign = true;
	seqs("d1", "f", (const int[]){1}, 1);
	seqs("d2", "e", (const int[]){3}, 1);
	(void)take("nonsense", "", false, NULL);
	summary_make(&summary, batch.messages, batch.count);
	assert_int_equal(summary.device_count, 2);
	for (size_t i = 0; i < 2; i++) {
		size_t count = 0;
		assert_string_equal(summary.devices[i]->device, expected[i].device);
		for (size_t at = summary.devices[i]->first; at != SUMMARY_END; at = summary.next[at]) {
			assert_true(count < expected[i].count);
			assert_int_equal(at, expected[i].places[count++]);
		}
		assert_int_equal(count, expected[i].count);
		assert_int_equal(summary.devices[i]->messages, expected[i].count);
	}
}

static void test_runs(void **state)
{
	seqs("d2", "e", (const int[]){7, 8, 3, 8, 9, 1, 2, 20}, 8);
	seqs("d1", "f", (const int[]){5}, 1);
	seqs("d1", "e", (const int[]){1, 2, 3}, 3);
	summary_make(&summary, batch.messages, batch.count);
	assert_int_equal(summary.device_count, 2);
	assert_string_equal(summary.devices[0]->device, "d1");
	assert_int_equal(summary.epoch_count, 3);
	assert_string_equal(summary.epochs[0]->epoch, "e");
	assert_string_equal(summary.epochs[1]->epoch, "f");
	assert_ptr_equal(summary_epoch(&summary, "d1", "f"), summary.epochs[1]);
	const struct epoch_summary *epoch = summary.epochs[2];
	assert_string_equal(epoch->device, "d2");
	assert_int_equal(epoch->received, 8);
	assert_int_equal(epoch->repeated, 1);
	assert_int_equal(epoch->run_count, 3);
	assert_int_equal(epoch->runs[0].first, 1);
	assert_int_equal(epoch->runs[0].last, 3);
	assert_int_equal(epoch->runs[1].first, 7);
	assert_int_equal(epoch->runs[1].last, 9);
	assert_int_equal(epoch->runs[2].first, 20);
}

static void test_hello_and_refused(void **state)
{
	(void)take("fleet/v1/d1/event", "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":41}", false, NULL);
	(void)take("fleet/v1/d1/event", "{\"type\":\"hello\",\"epoch\":\"e\",\"oldest_seq\":40}", false, NULL);
	// Refused, but numbered: it counts.
	(void)take("fleet/v1/d1/telemetry", "{\"epoch\":\"e\",\"seq\":41,\"ts\":1,\"load1\":-1}", false, NULL);
	struct message *foreign = take("fleet/v1/d9/telemetry", "{\"epoch\":\"e\",\"seq\":1,\"ts\":1}", false, NULL);
	message_refuse(foreign, &batch.arena, "unknown device");
	foreign->foreign = true;
	(void)take("nonsense", "{}", false, NULL);
	summary_make(&summary, batch.messages, batch.count);
	assert_int_equal(summary.refused, 3);
	assert_int_equal(summary.device_count, 1);
	assert_int_equal(summary.epoch_count, 1);
	assert_int_equal(summary.epochs[0]->floor, 41);
	assert_int_equal(summary.epochs[0]->received, 1);
	assert_int_equal(summary.epochs[0]->runs[0].first, 41);
	assert_false(summary.devices[0]->has_reading);
}

static void test_life_and_presence(void **state)
{
	(void)take("fleet/v1/d1/status", "online", true, NULL);
	(void)take("fleet/v1/d2/status", "offline", false, NULL);
	(void)take("fleet/v1/d3/status", "offline", false, NULL);
	(void)take("fleet/v1/d3/event", "{\"type\":\"hello\"}", false, NULL);
	(void)take("fleet/v1/d3/status", "online", false, NULL);
	(void)take("fleet/v1/d4/status", "", true, NULL);
	summary_make(&summary, batch.messages, batch.count);
	assert_int_equal(summary.devices[0]->seen_ms, 0);
	assert_string_equal(summary.devices[0]->online.why, "status");
	assert_false(summary.devices[0]->online.firm);
	assert_int_equal(summary.devices[1]->seen_ms, 0);
	assert_null(summary.devices[1]->online.why);
	assert_string_equal(summary.devices[1]->offline.why, "status");
	assert_int_equal(summary.devices[2]->seen_ms, RECEIVED_MS);
	assert_null(summary.devices[2]->offline.why);
	assert_string_equal(summary.devices[2]->online.why, "hello");
	assert_int_equal(summary.devices[3]->seen_ms, 0);
	assert_null(summary.devices[3]->online.why);
	assert_null(summary.devices[3]->offline.why);
	assert_true(summary.held);
}

static void test_sessions(void **state)
{
	struct device_summary device = {0};
	device_summary_online(&device, "status", 7, RECEIVED_MS, true);
	device_summary_offline(&device, "will", 6, RECEIVED_MS, false); // late
	assert_null(device.offline.why);
	device_summary_offline(&device, "will", 7, RECEIVED_MS, false);
	assert_string_equal(device.offline.why, "will");
	device_summary_online(&device, "status", 6, RECEIVED_MS, false); // remembered by another broker
	assert_string_equal(device.offline.why, "will");
	assert_int_equal(device.online.session, 7);
	device_summary_online(&device, "status", 8, RECEIVED_MS, true);
	assert_null(device.offline.why);
	assert_int_equal(device.online.session, 8);
	device_summary_offline(&device, "status", 0, RECEIVED_MS, false); // of a sender that does not count
	assert_string_equal(device.offline.why, "status");
}

static void test_life_after_the_will(void **state)
{
	(void)take("fleet/v1/d1/status", "offline", false, NULL);
	(void)take("fleet/v1/d1/telemetry", "{}", false, NULL);
	(void)take("fleet/v1/d2/telemetry", "{}", false, NULL);
	(void)take("fleet/v1/d2/status", "offline", false, NULL);
	summary_make(&summary, batch.messages, batch.count);
	assert_null(summary.devices[0]->offline.why);
	assert_string_equal(summary.devices[1]->offline.why, "status");
}

static void test_late(void **state)
{
	seqs("d1", "e", (const int[]){1, 2, 5, 3, 4, 6}, 6);
	seqs("d2", "e", (const int[]){1, 2, 3, 2, 3, 4}, 6); // came again, not late
	seqs("d3", "e", (const int[]){1, 2, 3, 4}, 4);
	summary_make(&summary, batch.messages, batch.count);
	assert_int_equal(summary.epochs[0]->late, 2);
	assert_int_equal(summary.epochs[1]->late, 0);
	assert_int_equal(summary.epochs[2]->late, 0);
}

static void test_newest_reading(void **state)
{
	(void)take("fleet/v1/d1/telemetry", "{\"ts\":1767225592000,\"battery_pct\":20,\"load1\":2}", false, NULL);
	(void)take("fleet/v1/d1/telemetry", "{\"ts\":1767225591000,\"battery_pct\":10,\"cpu_pct\":1}", false, NULL);
	(void)take("fleet/v1/d1/telemetry", "{\"ts\":1767225593000,\"load1\":3}", false, NULL);
	(void)take("fleet/v1/d2/telemetry", "{\"ts\":9999999999999,\"load1\":3}", false, NULL);
	summary_make(&summary, batch.messages, batch.count);
	const struct device_summary *device = summary.devices[0];
	assert_int_equal(device->reading_ms, RECEIVED_MS - 7000);
	assert_true(device->reading.values[0].real == 20);
	assert_true(device->reading.values[2].real == 1);
	assert_true(device->reading.values[3].real == 3);
	assert_int_equal(summary.devices[1]->reading_ms, RECEIVED_MS); // not ahead of our own clock
}

static void test_replies(void **state)
{
	static const char payload[] = "{\"epoch\":\"e\",\"seq\":1,\"ts\":1}";
	(void)take("fleet/v1/d1/telemetry", payload, false, "svc/v1/svc.bridge/a");
	(void)take("fleet/v1/d1/telemetry", payload, false, "svc/v1/svc.bridge/a");
	(void)take("fleet/v1/d1/telemetry", payload, false, "svc/v1/svc.bridge/b");
	(void)take("fleet/v1/d2/telemetry", payload, false, NULL);
	summary_make(&summary, batch.messages, batch.count);
	assert_false(summary.epochs[0]->unanswered);
	size_t count = 0;
	for (const struct reply_link *link = summary.epochs[0]->replies; link; link = link->next)
		count++;
	assert_int_equal(count, 2);
	assert_true(summary.epochs[1]->unanswered);
	assert_null(summary.epochs[1]->replies);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_messages_of_a_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello_and_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_life_and_presence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sessions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_life_after_the_will, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newest_reading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replies, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
