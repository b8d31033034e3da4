#include "bridge/link.h"

#include "common/clock.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/broker.h"

// Against a real broker; what the link publishes comes back to it.

static struct broker broker;

struct bridge {
	struct loop *loop;
	struct metrics *metrics;
	struct link *link;
	struct options options;
	int messages, answers, pubacks;
	char device[DEVICE_ID_MAX + 1];
	char payload[64];
	int puback_mid, puback_code;
	bool reply; // publish from within the handler
};

static void say(struct bridge *bridge, const char *topic, const char *payload, int qos)
{
	struct error error = {0};
	const struct mqtt_publish message = {
		.topic = topic, .payload = payload, .payload_bytes = strlen(payload), .qos = qos};
	if (!link_publish(bridge->link, &message, NULL, &error))
		fail_msg("%s", error.what);
}

static void keep(struct bridge *bridge, const struct mqtt_message *message)
{
	(void)snprintf(bridge->payload, sizeof(bridge->payload), "%.*s", (int)message->payload_bytes,
		       (const char *)message->payload);
}

static void on_csr(const struct topic *topic, const struct mqtt_message *message, void *user)
{
	struct bridge *bridge = user;
	bridge->messages++;
	(void)snprintf(bridge->device, sizeof(bridge->device), "%.63s", topic->principal);
	keep(bridge, message);
	if (bridge->reply)
		say(bridge, link_response_topic(bridge->link), "from within", 0);
}

static void on_answer(const struct mqtt_message *message, void *user)
{
	struct bridge *bridge = user;
	bridge->answers++;
	keep(bridge, message);
}

static void on_puback(int mid, int reason_code, void *user)
{
	struct bridge *bridge = user;
	bridge->pubacks++;
	bridge->puback_mid = mid;
	bridge->puback_code = reason_code;
}

static void open_link(struct bridge *bridge, int port)
{
	struct error error = {0};
	static char host[] = "127.0.0.1";
	static char name[] = "svc.bridge";
	*bridge = (struct bridge){.options = {.broker_host = host, .broker_port = port, .client_id = name}};
	bridge->loop = loop_new(&error);
	bridge->metrics = metrics_new();
	bridge->link = link_new(bridge->loop, &bridge->options, bridge->metrics, &error);
	if (!bridge->link || !link_on(bridge->link, TOPIC_CSR, on_csr, bridge, &error))
		fail_msg("%s", error.what);
	link_on_answer(bridge->link, on_answer, bridge);
	link_on_puback(bridge->link, on_puback, bridge);
}

static void close_link(struct bridge *bridge)
{
	link_free(bridge->link);
	metrics_free(bridge->metrics);
	loop_free(bridge->loop);
}

#define UNTIL(bridge, condition)                                                                                       \
	do {                                                                                                           \
		int64_t until_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;                                              \
		struct error turn_error = {0};                                                                         \
		while (!(condition)) {                                                                                 \
			if (clock_mono_ms() > until_ms)                                                                \
				fail_msg("never came: %s", #condition);                                                \
			if (!loop_run_once((bridge)->loop, 50, &turn_error))                                           \
				fail_msg("%s", turn_error.what);                                                       \
		}                                                                                                      \
	} while (0)

static void hands_over_by_kind(void **state)
{
	struct bridge bridge;
	open_link(&bridge, broker.port);
	assert_false(link_ready(bridge.link));
	UNTIL(&bridge, link_ready(bridge.link));
	bridge.reply = true;
	say(&bridge, "fleet/v1/kiosk-7/telemetry", "not asked for", 1);
	say(&bridge, "fleet/v1/kiosk-7/csr", "a request", 1);
	UNTIL(&bridge, bridge.answers == 1 && bridge.pubacks == 2);
	assert_int_equal(bridge.messages, 1);
	assert_string_equal(bridge.device, "kiosk-7");
	assert_string_equal(bridge.payload, "from within");
	close_link(&bridge);
}

static void refuses_topics_with_a_detail(void **state)
{
	struct bridge bridge;
	struct error error = {0};
	open_link(&bridge, broker.port);
	assert_false(link_on(bridge.link, TOPIC_STREAM, on_csr, &bridge, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	close_link(&bridge);
}

static void tells_what_became_of_a_message(void **state)
{
	struct bridge bridge;
	struct error error = {0};
	int mid = 0;
	const struct mqtt_publish nobody = {.topic = "fleet/v1/d/event", .payload = "x", .payload_bytes = 1, .qos = 1};
	open_link(&bridge, broker.port);
	UNTIL(&bridge, link_ready(bridge.link));
	assert_true(link_publish(bridge.link, &nobody, &mid, &error));
	UNTIL(&bridge, bridge.pubacks == 1);
	assert_int_equal(bridge.puback_mid, mid);
	assert_int_equal(bridge.puback_code, 0x10); // no matching subscribers
	close_link(&bridge);
}

static void keeps_no_more_than_its_queue(void **state)
{
	struct bridge bridge;
	struct error error = {0};
	const struct mqtt_publish message = {.topic = "fleet/v1/d/event", .payload = "x", .payload_bytes = 1, .qos = 1};
	int taken = 0;
	open_link(&bridge, broker.port);
	UNTIL(&bridge, link_ready(bridge.link));
	while (taken <= UNACKED_MAX && link_publish(bridge.link, &message, NULL, &error))
		taken++;
	assert_int_equal(taken, UNACKED_MAX);
	assert_int_equal(error.kind, ERROR_LIMIT);
	UNTIL(&bridge, bridge.pubacks == UNACKED_MAX);
	assert_true(link_publish(bridge.link, &message, NULL, &error));
	close_link(&bridge);
}

static void comes_back_after_the_broker(void **state)
{
	struct bridge bridge;
	struct error error = {0};
	const struct mqtt_publish message = {.topic = "fleet/v1/d/csr", .payload = "x", .payload_bytes = 1, .qos = 1};
	open_link(&bridge, broker.port);
	UNTIL(&bridge, link_ready(bridge.link));
	process_stop(&broker.pid, SIGKILL);
	UNTIL(&bridge, !link_ready(bridge.link));
	assert_false(link_publish(bridge.link, &message, NULL, &error));
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_true(broker_start(&broker));
	UNTIL(&bridge, link_ready(bridge.link));
	assert_true(link_publish(bridge.link, &message, NULL, &error));
	UNTIL(&bridge, bridge.messages == 1 && bridge.pubacks == 1);
	close_link(&bridge);
}

static int start(void **state)
{
	mqtt_library_init();
	if (scratch_setup(state) != 0)
		return -1;
	struct scratch *scratch = *state;
	return broker_init(&broker, scratch->folder, false) ? 0 : -1;
}

static int stop(void **state)
{
	broker_stop(&broker);
	mqtt_library_cleanup();
	return scratch_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_over_by_kind),
		cmocka_unit_test(refuses_topics_with_a_detail),
		cmocka_unit_test(tells_what_became_of_a_message),
		cmocka_unit_test(keeps_no_more_than_its_queue),
		cmocka_unit_test(comes_back_after_the_broker),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
