// Against a real Mosquitto: what a device that waits for its answers gets to hear.
#include "ingest/answers.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/broker.h"

#include <poll.h>

#define INTERVAL_MS 1000

static struct broker broker;
static struct mqtt *sender;
static struct mqtt *listener;
static char heard[8][160]; // "<topic> <payload> <correlation>"; the last place is of the newest
static size_t heard_count;
static bool subscribed;

static void on_message(void *user, const struct mqtt_message *message)
{
	(void)snprintf(heard[heard_count < 7 ? heard_count : 7], sizeof(heard[0]), "%s %.*s %.*s", message->topic,
		       (int)message->payload_bytes, (const char *)message->payload, (int)message->correlation_bytes,
		       message->correlation ? (const char *)message->correlation : "");
	heard_count++;
}

static void on_connect(void *user, bool session_present)
{
	struct error error = {0};
	assert_true(mqtt_subscribe(listener, "fleet/v1/+/stored", 1, &error));
	assert_true(mqtt_subscribe(listener, "svc/#", 1, &error));
}

static void on_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	subscribed = true;
}

static void turn(void)
{
	struct mqtt *const both[] = {sender, listener};
	for (int i = 0; i < 2; i++) {
		(void)mqtt_read(both[i], 100);
		mqtt_write(both[i]);
		mqtt_tick(both[i]);
	}
	process_pause();
}

static struct mqtt *connect_to_broker(const char *client_id, const struct mqtt_handlers *handlers)
{
	const struct mqtt_options options = {
		.host = "127.0.0.1",
		.port = broker.port,
		.client_id = client_id,
		.keepalive_s = 60,
		.clean_start = true,
	};
	struct error error = {0};
	struct mqtt *mqtt = mqtt_new(&options, handlers, NULL, &error);
	if (!mqtt)
		fail_msg("%s", error.what);
	return mqtt;
}

static int group_setup(void **state)
{
	static const struct mqtt_handlers silent;
	static const struct mqtt_handlers listening = {
		.on_connect = on_connect, .on_message = on_message, .on_suback = on_suback};
	if (scratch_setup(state) != 0 || !broker_init(&broker, ((struct scratch *)*state)->folder, false))
		return -1;
	mqtt_library_init();
	sender = connect_to_broker("svc.ingest", &silent);
	listener = connect_to_broker("listener", &listening);
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!subscribed || !mqtt_connected(sender)) {
		if (clock_mono_ms() > deadline_ms)
			return -1;
		turn();
	}
	return 0;
}

static int group_teardown(void **state)
{
	mqtt_free(sender);
	mqtt_free(listener);
	mqtt_library_cleanup();
	broker_stop(&broker);
	return scratch_teardown(state);
}

// All that was sent, which a last message closes.
static void hear(void)
{
	const struct mqtt_publish last = {.topic = "svc/end", .payload = "", .qos = 0};
	struct error error = {0};
	heard_count = 0;
	assert_true(mqtt_publish(sender, &last, NULL, &error));
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (heard_count == 0 || strncmp(heard[heard_count < 8 ? heard_count - 1 : 7], "svc/end", 7) != 0) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("nothing more came after %zu", heard_count);
		turn();
	}
	heard_count--;
}

static void committed(struct answers *answers, int64_t contiguous, const struct reply *reply, int64_t mono_ms)
{
	struct reply_link link = {.reply = reply};
	struct epoch_summary epoch = {
		.device = "d1",
		.epoch = "e",
		.contiguous = contiguous,
		.unanswered = !reply,
		.replies = reply ? &link : NULL,
	};
	struct epoch_summary *epochs[] = {&epoch};
	const struct summary summary = {.epochs = epochs, .epoch_count = 1};
	answers_committed(answers, &summary, mono_ms);
}

static struct answers *new_answers(void)
{
	struct error error = {0};
	struct answers *answers = answers_new(sender, INTERVAL_MS, &error);
	assert_non_null(answers);
	return answers;
}

static void test_coalesced(void **state)
{
	struct answers *answers cleanup(answers_free_cleanup) = new_answers();
	assert_int_equal(answers_timeout_ms(answers, 5000), -1);
	committed(answers, 0, NULL, 5000); // nothing that the device could delete
	hear();
	assert_int_equal(heard_count, 0);

	committed(answers, 3, NULL, 5000); // the first at once
	committed(answers, 5, NULL, 5010);
	committed(answers, 9, NULL, 5020);
	committed(answers, 7, NULL, 5030); // another program's, late: the mark does not go back
	answers_due(answers, 5900);
	hear();
	assert_int_equal(heard_count, 1);
	assert_string_equal(heard[0], "fleet/v1/d1/stored {\"epoch\":\"e\",\"seq\":3} ");

	assert_in_range(answers_timeout_ms(answers, 5900), 0, INTERVAL_MS);
	answers_due(answers, 6200); // the interval is over
	hear();
	assert_int_equal(heard_count, 1);
	assert_string_equal(heard[0], "fleet/v1/d1/stored {\"epoch\":\"e\",\"seq\":9} ");

	committed(answers, 10, NULL, 6210); // too early again
	hear();
	assert_int_equal(heard_count, 0);
	answers_due(answers, 7300);
	hear();
	assert_int_equal(heard_count, 1);
	answers_due(answers, 9000);
	assert_int_equal(answers_timeout_ms(answers, 9000), -1); // forgotten
	committed(answers, 10, NULL, 9001);
	hear();
	assert_int_equal(heard_count, 1); // asked again, answered again
}

static void test_response_topic_is_answered_at_once(void **state)
{
	struct answers *answers cleanup(answers_free_cleanup) = new_answers();
	const struct reply reply = {.topic = "svc/v1/svc.bridge/a", .correlation = "abc", .correlation_bytes = 3};
	committed(answers, 1, &reply, 5000);
	committed(answers, 2, &reply, 5001);
	hear();
	assert_int_equal(heard_count, 2);
	assert_string_equal(heard[0], "svc/v1/svc.bridge/a {\"epoch\":\"e\",\"seq\":1} abc");
	assert_string_equal(heard[1], "svc/v1/svc.bridge/a {\"epoch\":\"e\",\"seq\":2} abc");
	assert_int_equal(answers_timeout_ms(answers, 5001), -1);
}

// A large batch does not stand between the broker and the devices: the answers go bit by bit, each device has its one.
static void test_spread(void **state)
{
	enum { DEVICES = 5000 };
	static struct epoch_summary epochs[DEVICES];
	static struct epoch_summary *pointers[DEVICES];
	static char names[DEVICES][8];
	struct answers *answers cleanup(answers_free_cleanup) = new_answers();
	for (size_t i = 0; i < DEVICES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "d%zu", i);
		epochs[i] = (struct epoch_summary){
			.device = names[i], .epoch = "e", .contiguous = 1, .unanswered = true};
		pointers[i] = &epochs[i];
	}
	const struct summary summary = {.epochs = pointers, .epoch_count = DEVICES};
	int64_t now_ms = 5000;
	size_t total = 0;
	committed(answers, 1, NULL, now_ms);
	hear();
	assert_int_equal(heard_count, 1);
	now_ms += 10;
	answers_committed(answers, &summary, now_ms);
	answers_due(answers, now_ms); // nothing more in the same millisecond
	hear();
	assert_in_range(heard_count, 1, DEVICES / 10);
	for (total = heard_count; total < DEVICES - 1; total += heard_count) { // d1 has had its answer
		assert_int_equal(answers_timeout_ms(answers, now_ms), 1);
		now_ms++;
		answers_due(answers, now_ms);
		hear();
		assert_in_range(heard_count, 1, 100);
	}
	assert_int_equal(total, DEVICES - 1);
	assert_in_range(answers_timeout_ms(answers, now_ms), 10, INTERVAL_MS);
	answers_due(answers, now_ms + 2 * INTERVAL_MS); // d1's second
	hear();
	assert_int_equal(heard_count, 1);
	answers_due(answers, now_ms + 4 * INTERVAL_MS);
	assert_int_equal(answers_timeout_ms(answers, now_ms + 4 * INTERVAL_MS), -1);
}

static void test_cleared(void **state)
{
	struct answers *answers cleanup(answers_free_cleanup) = new_answers();
	committed(answers, 1, NULL, 5000);
	committed(answers, 2, NULL, 5001);
	hear();
	answers_clear(answers);
	answers_due(answers, 9000);
	hear();
	assert_int_equal(heard_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_coalesced),
		cmocka_unit_test(test_response_topic_is_answered_at_once),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_cleared),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
