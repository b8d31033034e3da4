#include "bridge/relay.h"

#include "tests/unit/bridge/asking.h"
#include "tests/unit/support/broker.h"

// Ingest is played by a second session, which says what the test wants.

#define TIMEOUT_MS 4000 // beyond what the broker may be held up for

static struct broker broker;
static struct link *bridge;
static struct relay *relay;
static struct mqtt *ingest;
static bool listening;
static int heard;
static char topic[128], payload[256], response_topic[128], correlation[64];

static void on_ingest_connect(void *user, bool session_present)
{
	struct error error = {0};
	assert_true(mqtt_subscribe(ingest, "fleet/v1/+/telemetry", 1, &error));
}

static void on_ingest_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	listening = true;
}

static void keep(char *out, size_t out_bytes, const void *text, size_t len_bytes)
{
	(void)snprintf(out, out_bytes, "%.*s", (int)len_bytes, text ? (const char *)text : "");
}

static void on_ingest_message(void *user, const struct mqtt_message *message)
{
	keep(topic, sizeof(topic), message->topic, strlen(message->topic));
	keep(payload, sizeof(payload), message->payload, message->payload_bytes);
	keep(response_topic, sizeof(response_topic), message->response_topic, strlen(message->response_topic));
	keep(correlation, sizeof(correlation), message->correlation, message->correlation_bytes);
	heard++;
}

static void turn_ingest(void *user)
{
	(void)mqtt_read(ingest, 100);
	mqtt_tick(ingest);
	mqtt_write(ingest);
}

static void say(const char *text)
{
	struct error error = {0};
	const struct mqtt_publish message = {.topic = response_topic, .payload = text, .payload_bytes = strlen(text)};
	if (!mqtt_publish(ingest, &message, NULL, &error))
		fail_msg("%s", error.what);
}

static enum topic_kind kind;

static void take(struct http_request *request, void *user)
{
	relay_take(relay, request, "kiosk-7", kind);
}

#define JSON "Content-Type: application/json\r\n"

static struct client post(enum topic_kind as, const char *headers, const char *body)
{
	kind = as;
	return client_ask("POST", "", headers, body);
}

static void assert_answer(struct client *client, int status, const char *body)
{
	assert_int_equal(client_status(client), status);
	if (!strstr(client->text, body))
		fail_msg("%s", client->text);
}

// Posts telemetry, and waits until ingest has it.
static struct client post_heard(void)
{
	int before = heard;
	struct client client = post(TOPIC_TELEMETRY, JSON, "{\"load1\":1}");
	UNTIL(heard > before);
	return client;
}

static void answered_when_stored(void **state)
{
	char text[256];
	struct client client = post_heard();
	assert_string_equal(topic, "fleet/v1/kiosk-7/telemetry");
	assert_string_equal(payload, "{\"load1\":1}");
	assert_string_equal(response_topic, link_response_topic(bridge));
	assert_false(client_answered(&client)); // it is in the broker, which is nothing
	(void)snprintf(text, sizeof(text), "{\"stored\":[\"ffff-1\",\"x\",\"%s\",\"%s\"],\"refused\":[]}", correlation,
		       correlation);
	say(text);
	assert_answer(&client, 200, "{\"stored\":true}");
}

static void the_name_of_another_use_means_nothing(void **state)
{
	char text[256];
	char old[64];
	struct client client = post_heard();
	(void)snprintf(old, sizeof(old), "%s", correlation);
	(void)snprintf(text, sizeof(text), "{\"stored\":[\"%s\"],\"refused\":[]}", old);
	say(text);
	assert_answer(&client, 200, "true");
	client = post_heard(); // in the same place
	assert_string_not_equal(old, correlation);
	say(text); // late, and of the request before
	assert_answer(&client, 503, "not stored in time");
}

static void refused_is_told(void **state)
{
	char text[256];
	struct client client = post_heard();
	(void)snprintf(text, sizeof(text),
		       "{\"stored\":[],\"refused\":[{\"correlation\":\"%s\",\"reason\":\"too hot\"}]}", correlation);
	say(text);
	assert_answer(&client, 422, "too hot");
	client = post_heard();
	(void)snprintf(text, sizeof(text),
		       "{\"stored\":[],\"refused\":[{\"correlation\":\"%s\",\"reason\":\"x\",\"foreign\":true}]}",
		       correlation);
	say(text);
	assert_answer(&client, 403, "not enrolled");
}

static void nothing_that_is_no_receipt_is_believed(void **state)
{
	struct client client = post_heard();
	char text[256];
	(void)snprintf(text, sizeof(text), "{\"stored\":\"%s\"}", correlation);
	say("not json");
	say("");
	say("[]");
	say("{\"stored\":[1,null,{}],\"refused\":[{},1,{\"correlation\":7}]}");
	say(text);
	assert_answer(&client, 503, "not stored in time");
	assert_non_null(strstr(client.text, "Retry-After: "));
}

static void nobody_listens(void **state)
{
	struct client client = post(TOPIC_EVENT, JSON, "{}");
	assert_answer(&client, 503, "nobody takes messages in"); // at once, not when the time is over
}

static void refuses_what_is_no_json(void **state)
{
	struct client client = post(TOPIC_TELEMETRY, "Content-Type: text/plain\r\n", "{}");
	assert_answer(&client, 415, "application/json");
	client = post(TOPIC_TELEMETRY, JSON, "");
	assert_answer(&client, 400, "empty");
}

// The last: it ends the session.
static void the_broker_is_away(void **state)
{
	struct client client = post_heard();
	broker_stop(&broker);
	UNTIL(!link_ready(bridge));
	assert_answer(&client, 503, "not stored in time");
	client = post(TOPIC_TELEMETRY, JSON, "{}");
	assert_answer(&client, 503, "nothing can be taken in");
}

static struct loop_timer *turns;

static int start(void **state)
{
	static char host[] = "127.0.0.1";
	static char name[] = "svc.bridge";
	static const struct mqtt_handlers handlers = {.on_connect = on_ingest_connect,
						      .on_message = on_ingest_message,
						      .on_suback = on_ingest_suback};
	static struct options options = {.broker_host = host, .client_id = name};
	struct error error = {0};
	mqtt_library_init();
	if (!asking_open() || !broker_init(&broker, scratch->folder, false))
		return -1;
	options.broker_port = broker.port;
	const struct mqtt_options session = {
		.host = host, .port = broker.port, .client_id = "svc.ingest", .keepalive_s = 60, .clean_start = true};
	bridge = link_new(loop, &options, metrics, &error);
	relay = bridge ? relay_new(loop, bridge, metrics, TIMEOUT_MS, &error) : NULL;
	ingest = mqtt_new(&session, &handlers, NULL, &error);
	turns = loop_timer_new(loop, turn_ingest, NULL, &error);
	if (!relay || !ingest || !turns)
		return -1;
	loop_timer_every(turns, 2);
	handler = take;
	UNTIL(link_ready(bridge) && listening);
	return 0;
}

static int stop(void **state)
{
	relay_free(relay);
	link_free(bridge);
	mqtt_free(ingest);
	loop_timer_free(turns);
	asking_close();
	mqtt_library_cleanup();
	return scratch_teardown((void **)&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answered_when_stored),
		cmocka_unit_test(the_name_of_another_use_means_nothing),
		cmocka_unit_test(refused_is_told),
		cmocka_unit_test(nothing_that_is_no_receipt_is_believed),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(refuses_what_is_no_json),
		cmocka_unit_test(the_broker_is_away),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
