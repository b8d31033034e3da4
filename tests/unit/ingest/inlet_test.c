#include "ingest/inlet.h"

#include "ingest/kind.h"
#include "tests/unit/scratch.h"

#define RECEIVED_MS 1767225600000

static struct batch batch;
static struct inlet inlet;

static int setup(void **state)
{
	struct error error = {0};
	inlet_init(&inlet);
	return batch_init(&batch, 10, &error) ? 0 : -1;
}

static int teardown(void **state)
{
	batch_done(&batch);
	return 0;
}

static const struct message *take(const char *topic, const char *payload, const char *response_topic)
{
	struct mqtt_message in = {
		.topic = topic,
		.payload = *payload ? payload : NULL,
		.payload_bytes = strlen(payload),
		.qos = 1,
		.response_topic = response_topic,
		.correlation = "\0x",
		.correlation_bytes = 2,
	};
	assert_true(inlet_take(&inlet, &batch, &in, RECEIVED_MS));
	return &batch.messages[batch.count - 1];
}

static void test_kinds_by_topic(void **state)
{
	assert_ptr_equal(take("fleet/v1/d1/status", "online", NULL)->kind, &status_kind);
	assert_ptr_equal(take("fleet/v1/d1/telemetry", "{}", NULL)->kind, &telemetry_kind);
	assert_ptr_equal(take("fleet/v1/d1/event", "{\"type\":\"boot\"}", NULL)->kind, &event_kind);
	const struct message *message = take("fleet/v1/d1/inventory/network", "{}", NULL);
	assert_ptr_equal(message->kind, &inventory_kind);
	assert_string_equal(message->device, "d1");
	assert_null(message->refusal);
	assert_string_equal(message->topic, "fleet/v1/d1/inventory/network");
	assert_string_equal(message->excerpt, "{}");
	assert_ptr_equal(take("fleet/v1/d1/result", "{\"command\":\"c\","
			      "\"state\":\"failed\"}", NULL)->kind, &result_kind);
	for (size_t i = 0; i < batch.count; i++)
		assert_null(batch.messages[i].refusal);
}

static void test_refused_topics(void **state)
{
	static const char *const topics[] = {"fleet/v1/D1/telemetry",
					     "fleet/v1/svc.x/telemetry", "fleet/v1/d1/nonsense",
					     "fleet/v1/d1/inventory/secrets", "fleet/v1/d1/stored",
					     "ops/v1/op.a/request", "x", ""};
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
		const struct message *message = take(topics[i], "{}", NULL);
		assert_non_null(message->refusal);
		assert_null(message->device);
		assert_int_equal(message->count, 0);
	}
}

static void test_own_numbers(void **state)
{
	const struct message *plain = take("fleet/v1/d1/telemetry", "[{},{\"epoch\":\"e\",\"seq\":5,"
					   "\"ts\":1},{}]", NULL);
	assert_int_equal(plain->count, 3);
	assert_string_equal(plain->stamps[0].epoch, inlet.epoch);
	assert_int_equal(plain->stamps[0].epoch[0], '-');
	assert_false(plain->stamps[0].numbered);
	assert_string_equal(plain->stamps[1].epoch, "e");
	assert_int_equal(plain->stamps[1].seq, 5);
	assert_int_not_equal(plain->stamps[0].seq, plain->stamps[2].seq);
	const struct message *hello = take("fleet/v1/d1/event", "{\"type\":\"hello\",\"epoch\":\"e\"}", NULL);
	assert_string_equal(hello->stamps[0].epoch, inlet.epoch);
}

static void test_refused_keeps_numbered_stamps(void **state)
{
	const struct message *message =
		take("fleet/v1/d1/telemetry", "[{\"load1\":-1},{\"epoch\":\"e\",\"seq\":5,\"ts\":1}]", NULL);
	assert_non_null(message->refusal);
	assert_int_equal(message->count, 1);
	assert_int_equal(message->stamps[0].seq, 5);
}

static void test_response_topics(void **state)
{
	static const struct {
		const char *topic;
		bool ok;
	} cases[] = {
		{"fleet/v1/d1/stored", true},
		{"fleet/v1/d2/stored", false},
		{"fleet/v1/d1/command", false},
		{"svc/v1/svc.bridge/a", true},
		{"svc/v1/svc.bridge/a/b", true},
		{"svc/v1/svc.bridge/", false},
		{"svc/v1/svc.bridge", false},
		{"svc/v1/op.alice/a", false},
		{"svc/v1/svc.bridge/+", false},
		{"svc/v1/svc.bridge/#", false},
		{"$SYS/x", false},
		{"", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		batch_clear(&batch);
		const struct message *message = take("fleet/v1/d1/telemetry", "{}", cases[i].topic);
		if ((message->reply != NULL) != cases[i].ok)
			fail_msg("%s", cases[i].topic);
		assert_null(message->refusal);
		if (!cases[i].ok)
			continue;
		assert_string_equal(message->reply->topic, cases[i].topic);
		assert_memory_equal(message->reply->correlation, "\0x", 2);
	}
}

static void test_receipts_are_for_services_that_name_their_messages(void **state)
{
	struct mqtt_message in = {.topic = "fleet/v1/d1/telemetry", .payload = "{}", .payload_bytes = 2, .qos = 1};
	in.response_topic = "svc/v1/svc.bridge/a";
	in.correlation = "7-1f";
	in.correlation_bytes = 4;
	assert_true(inlet_take(&inlet, &batch, &in, RECEIVED_MS));
	in.response_topic = "fleet/v1/d1/stored";
	assert_true(inlet_take(&inlet, &batch, &in, RECEIVED_MS));
	assert_non_null(batch.messages[0].receipt);
	assert_null(batch.messages[0].reply);
	assert_memory_equal(batch.messages[0].receipt->correlation, "7-1f", 4);
	assert_null(batch.messages[1].receipt);
	assert_non_null(batch.messages[1].reply);
}

static void test_full_batch_drops_qos_0(void **state)
{
	struct mqtt_message in = {.topic = "fleet/v1/d1/telemetry", .payload = "{}", .payload_bytes = 2};
	for (int i = 0; i < 10; i++)
		assert_true(inlet_take(&inlet, &batch, &in, RECEIVED_MS));
	assert_false(inlet_take(&inlet, &batch, &in, RECEIVED_MS));
	in.qos = 1;
	assert_true(inlet_take(&inlet, &batch, &in, RECEIVED_MS));
	assert_int_equal(batch.count, 11);
}

static void test_long_payload_is_cut(void **state)
{
	static char payload[QUARANTINE_PAYLOAD_MAX + 101];
	memset(payload, 'x', sizeof(payload) - 1);
	const struct message *message = take("fleet/v1/d1/event", payload, NULL);
	assert_int_equal(message->payload_bytes, QUARANTINE_PAYLOAD_MAX + 100);
	assert_int_equal(strlen(message->excerpt), QUARANTINE_PAYLOAD_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kinds_by_topic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_topics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_keeps_numbered_stamps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_response_topics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_receipts_are_for_services_that_name_their_messages, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_full_batch_drops_qos_0, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_payload_is_cut, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
