#include "common/topic.h"

#include "tests/unit/scratch.h"

static void accepts_and_builds(void **state)
{
	(void)state;
	struct json *vectors auto_json = vectors_load("topic.json");
	const struct json *cases = json_member(vectors, "accept");
	assert_true(json_array_length(cases) > 10);
	for (size_t i = 0; i < json_array_length(cases); i++) {
		const char *text, *kind, *principal, *detail;
		assert_true(json_member_string(json_array_at(cases, i), "topic", &text));
		assert_true(json_member_string(json_array_at(cases, i), "kind", &kind));
		assert_true(json_member_string(json_array_at(cases, i), "principal", &principal));
		assert_true(json_member_string(json_array_at(cases, i), "detail", &detail));

		struct topic topic;
		if (!topic_parse(text, strlen(text), &topic))
			fail_msg("%s was refused", text);
		assert_string_equal(topic_kind_name(topic.kind), kind);
		assert_string_equal(topic.principal, principal);
		assert_string_equal(topic.detail, detail);

		char built[TOPIC_MAX_BYTES];
		assert_true(topic_build(built, topic.kind, principal, *detail ? detail : NULL));
		assert_string_equal(built, text);
	}
}

static void refuses(void **state)
{
	(void)state;
	struct json *vectors auto_json = vectors_load("topic.json");
	const struct json *cases = json_member(vectors, "reject");
	assert_true(json_array_length(cases) > 20);
	for (size_t i = 0; i < json_array_length(cases); i++) {
		const char *text;
		assert_true(json_as_string(json_array_at(cases, i), &text));
		struct topic topic = {.kind = TOPIC_STATUS};
		if (topic_parse(text, strlen(text), &topic))
			fail_msg("%s was accepted", text);
		assert_int_equal(topic.kind, TOPIC_UNKNOWN);
	}
}

static void reads_no_further_than_its_length(void **state)
{
	(void)state;
	struct topic topic;
	assert_false(topic_parse("fleet/v1/d/status\0", 18, &topic));
	assert_false(topic_parse("fleet/v1/d\0x/status", 19, &topic));
	assert_false(topic_parse("fleet/v1/d/status", 16, &topic));
	assert_true(topic_parse("fleet/v1/d/statusX", 17, &topic));
	static const char text[] = "fleet/v1/d/inventory/software";
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		char *exact auto_free = len ? malloc(len) : malloc(1);
		memcpy(exact, text, len);
		assert_false(topic_parse(exact, len, &topic));
	}
}

static void a_long_topic_is_foreign(void **state)
{
	(void)state;
	char text[70000];
	memset(text, 'a', sizeof(text));
	memcpy(text, "fleet/v1/", 9);
	struct topic topic;
	assert_false(topic_parse(text, sizeof(text), &topic));
	assert_false(topic_parse(text, 65535, &topic));
}

static void builds_filters(void **state)
{
	(void)state;
	char text[TOPIC_MAX_BYTES];
	assert_true(topic_build(text, TOPIC_TELEMETRY, "+", NULL));
	assert_string_equal(text, "fleet/v1/+/telemetry");
	assert_true(topic_build(text, TOPIC_INVENTORY, "+", "+"));
	assert_string_equal(text, "fleet/v1/+/inventory/+");
	assert_true(topic_build(text, TOPIC_REQUEST, "+", NULL));
	assert_string_equal(text, "ops/v1/+/request");
}

static void builds_shared_filters(void **state)
{
	(void)state;
	char text[TOPIC_MAX_BYTES] = "untouched";
	char filter[TOPIC_MAX_BYTES];
	memset(filter, 'x', sizeof(filter) - 1);
	filter[sizeof(filter) - 1] = '\0';
	assert_false(topic_share(text, "", "fleet/v1/+/event"));
	assert_false(topic_share(text, "a/b", "fleet/v1/+/event"));
	assert_false(topic_share(text, "+", "fleet/v1/+/event"));
	assert_false(topic_share(text, "cell-1", filter));
	assert_string_equal(text, "untouched");
	assert_true(topic_share(text, "cell-1", "fleet/v1/+/event"));
	assert_string_equal(text, "$share/cell-1/fleet/v1/+/event");
}

static void builds_nothing_outside_the_grammar(void **state)
{
	(void)state;
	char text[TOPIC_MAX_BYTES] = "untouched";
	assert_false(topic_build(text, TOPIC_UNKNOWN, "d", NULL));
	assert_false(topic_build(text, (enum topic_kind)99, "d", NULL));
	assert_false(topic_build(text, TOPIC_STATUS, "#", NULL));
	assert_false(topic_build(text, TOPIC_STATUS, "a/b", NULL));
	assert_false(topic_build(text, TOPIC_STATUS, "", NULL));
	assert_false(topic_build(text, TOPIC_STATUS, NULL, NULL));
	assert_false(topic_build(text, TOPIC_STATUS, "d", "x"));
	assert_false(topic_build(text, TOPIC_STATUS, "op.alice", NULL));
	assert_false(topic_build(text, TOPIC_REQUEST, "alice", NULL));
	assert_false(topic_build(text, TOPIC_INVENTORY, "d", NULL));
	assert_false(topic_build(text, TOPIC_INVENTORY, "d", "other"));
	assert_false(topic_build(text, TOPIC_STREAM, "d", "../x"));
	assert_false(topic_build(text, TOPIC_STREAM, "d", "+"));
	assert_string_equal(text, "untouched");
}

static void principals_are_told_apart(void **state)
{
	(void)state;
	assert_true(topic_is_device_id("a"));
	assert_false(topic_is_device_id(""));
	assert_false(topic_is_device_id("svc.ingest"));
	assert_true(topic_is_service("svc.ingest"));
	assert_false(topic_is_service("svc."));
	assert_false(topic_is_service("op.alice"));
	assert_true(topic_is_operator("op.alice"));
	assert_false(topic_is_operator("svc.ingest"));
	assert_false(topic_is_operator("op.alice\n"));
}

static void acknowledgements_go_to_their_own(void **state)
{
	(void)state;
	static const char *const good[] = {"fleet/v1/d/stored", "svc/v1/svc.bridge/x", "svc/v1/svc.bridge/x/y"};
	static const char *const bad[] = {"",
					  "fleet/v1/e/stored",
					  "fleet/v1/d/command",
					  "fleet/v1/+/stored",
					  "svc/v1/svc.bridge",
					  "svc/v1/svc.bridge/",
					  "svc/v1/svc.bridge/#",
					  "svc/v1/svc.bridge/+/x",
					  "svc/v1/bridge/x",
					  "svc/v1/op.alice/x",
					  "$SYS/x",
					  "ops/v1/op.alice/reply"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!topic_is_response(good[i], "d"))
			fail_msg("%s was refused", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (topic_is_response(bad[i], "d"))
			fail_msg("%s was accepted", bad[i]);
}

static void names_response_topics(void **state)
{
	char topic[TOPIC_MAX_BYTES] = "";
	assert_true(topic_response(topic, "svc.bridge", "0f8c"));
	assert_string_equal(topic, "svc/v1/svc.bridge/0f8c");
	assert_true(topic_is_response(topic, "d"));
	assert_false(topic_response(topic, "bridge", "0f8c"));
	assert_false(topic_response(topic, "op.alice", "0f8c"));
	assert_false(topic_response(topic, "svc.bridge", "+"));
	assert_false(topic_response(topic, "svc.bridge", ""));
	assert_false(topic_response(topic, "svc.bridge", "a/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_and_builds),
		cmocka_unit_test(refuses),
		cmocka_unit_test(names_response_topics),
		cmocka_unit_test(reads_no_further_than_its_length),
		cmocka_unit_test(a_long_topic_is_foreign),
		cmocka_unit_test(builds_filters),
		cmocka_unit_test(builds_shared_filters),
		cmocka_unit_test(builds_nothing_outside_the_grammar),
		cmocka_unit_test(principals_are_told_apart),
		cmocka_unit_test(acknowledgements_go_to_their_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
