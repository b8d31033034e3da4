#include "commander/operator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TOPIC "ops/v1/op.alice/request"
#define PING "{\"device\":\"kiosk-7\",\"action\":\"ping\"}"

static struct mqtt_message message_of(const char *payload)
{
	return (struct mqtt_message){.topic = TOPIC, .payload = payload, .payload_bytes = strlen(payload), .qos = 1};
}

static void takes_a_request(void **state)
{
	struct mqtt_message message =
		message_of("{\"device\":\"kiosk-7\",\"action\":\"set_interval\",\"params\":{\"seconds\":60},"
			   "\"ttl_s\":60,\"request\":\"my-1\"}");
	struct operator_request request;
	int64_t seconds = 0;

	assert_true(operator_parse(&message, &request));
	assert_false(request.refused);
	assert_string_equal(request.operator, "op.alice");
	assert_string_equal(request.ask.device, "kiosk-7");
	assert_string_equal(request.ask.action, "set_interval");
	assert_true(json_member_int(request.ask.params, "seconds", &seconds));
	assert_int_equal(seconds, 60);
	assert_int_equal(request.ask.ttl_s, 60);
	assert_string_equal(request.name, "my-1");
	assert_string_equal(request.reply_topic, "ops/v1/op.alice/reply");
	assert_int_equal(strlen(request.id), 36);
	operator_request_done(&request);
}

static void has_defaults(void **state)
{
	struct mqtt_message message = message_of(PING);
	struct operator_request request;

	assert_true(operator_parse(&message, &request));
	assert_false(request.refused);
	assert_int_equal(request.ask.ttl_s, COMMAND_TTL_DEFAULT_S);
	assert_int_equal(json_type(request.ask.params), JSON_OBJECT);
	assert_string_equal(request.name, "");
	operator_request_done(&request);
}

static void refuses_and_names_the_fault(void **state)
{
	static const struct {
		const char *payload, *says;
	} cases[] = {
		{"", "JSON"},
		{"{\"device\"", "JSON"},
		{"[]", "object"},
		{"{\"action\":\"ping\"}", "\"device\""},
		{"{\"device\":7,\"action\":\"ping\"}", "\"device\""},
		{"{\"device\":\"kiosk-7\"}", "\"action\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"params\":[]}", "\"params\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"ttl_s\":0}", "\"ttl_s\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"ttl_s\":2592001}", "\"ttl_s\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"ttl_s\":\"60\"}", "\"ttl_s\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"request\":\"\"}", "\"request\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"request\":1}", "\"request\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"request\":\"a\\u0001\"}", "\"request\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"request\":\"a\\u0085b\"}", "\"request\""},
		{"{\"device\":\"kiosk-7\",\"action\":\"ping\",\"surprise\":1}", "\"surprise\""},
		{"{\"device\":\"kiosk-7\",\"device\":\"kiosk-8\",\"action\":\"ping\"}", "JSON"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mqtt_message message = message_of(cases[i].payload);
		struct operator_request request;

		assert_true(operator_parse(&message, &request));
		if (!request.refused || !strstr(request.refusal.detail, cases[i].says))
			fail_msg("case %zu says \"%s\"", i, request.refused ? request.refusal.detail : "nothing");
		operator_request_done(&request);
	}
}

static void nobody_to_answer(void **state)
{
	static const char *const topics[] = {"ops/v1/kiosk-7/request", "ops/v1/svc.ingest/request",
					     "ops/v1/op.alice/reply", "fleet/v1/kiosk-7/status",
					     "ops/v1/op.alice/request/x"};

	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
		struct mqtt_message message = message_of(PING);
		struct operator_request request;

		message.topic = topics[i];
		assert_false(operator_parse(&message, &request));
	}
}

static void answers_only_below_the_operators_name(void **state)
{
	static const struct {
		const char *topic;
		bool good;
	} cases[] = {
		{"ops/v1/op.alice/rr-1", true},	    {"ops/v1/op.alice/a/b", true},  {"ops/v1/op.alice/reply", true},
		{"ops/v1/op.alice/request", false}, {"ops/v1/op.alice/", false},    {"ops/v1/op.alice", false},
		{"ops/v1/op.alice2/x", false},	    {"ops/v1/op.bob/reply", false}, {"fleet/v1/kiosk-7/command", false},
		{"$CONTROL/muster/v1", false},	    {"ops/v1/op.alice/+", false},   {"ops/v1/op.alice/#", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mqtt_message message = message_of(PING);
		struct operator_request request;

		message.response_topic = cases[i].topic;
		assert_true(operator_parse(&message, &request));
		if (request.refused == cases[i].good)
			fail_msg("%s", cases[i].topic);
		assert_string_equal(request.reply_topic, cases[i].good ? cases[i].topic : "ops/v1/op.alice/reply");
		operator_request_done(&request);
	}
}

static void id_of(const char *topic, const char *payload, const char *correlation, char out[UUID_TEXT_BYTES])
{
	struct mqtt_message message = message_of(payload);
	struct operator_request request;

	message.topic = topic;
	message.correlation = correlation;
	message.correlation_bytes = correlation ? strlen(correlation) : 0;
	assert_true(operator_parse(&message, &request));
	assert_false(request.refused);
	memcpy(out, request.id, UUID_TEXT_BYTES);
	operator_request_done(&request);
}

static void the_same_request_is_the_same_command(void **state)
{
	static const char named[] = "{\"device\":\"kiosk-7\",\"action\":\"ping\",\"request\":\"1\"}";
	static const char other[] = "{\"device\":\"kiosk-7\",\"action\":\"ping\",\"request\":\"2\"}";
	char a[UUID_TEXT_BYTES];
	char b[UUID_TEXT_BYTES];

	id_of(TOPIC, named, NULL, a);
	id_of(TOPIC, named, NULL, b);
	assert_string_equal(a, b);
	assert_int_equal(a[14], '8'); // RFC 9562 version
	id_of(TOPIC, other, NULL, b);
	assert_string_not_equal(a, b);
	id_of("ops/v1/op.bob/request", named, NULL, b);
	assert_string_not_equal(a, b);
	id_of(TOPIC, PING, "c1", a);
	id_of(TOPIC, PING, "c1", b);
	assert_string_equal(a, b);
	id_of(TOPIC, PING, "c2", b);
	assert_string_not_equal(a, b);
	id_of(TOPIC, PING, NULL, a); // without a name each is its own
	id_of(TOPIC, PING, NULL, b);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_request),
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(refuses_and_names_the_fault),
		cmocka_unit_test(nobody_to_answer),
		cmocka_unit_test(answers_only_below_the_operators_name),
		cmocka_unit_test(the_same_request_is_the_same_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
