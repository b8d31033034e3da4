#include "ingest/receipts.h"

#include "tests/unit/scratch.h"

#define SENT_MAX 32

static char *sent[SENT_MAX]; // "<topic> <payload>"
static size_t sent_count;

static void on_send(void *user, const char *topic, const char *payload, size_t payload_bytes)
{
	assert_true(sent_count < SENT_MAX);
	assert_true(asprintf(&sent[sent_count++], "%s %.*s", topic, (int)payload_bytes, payload) > 0);
}

static void forget(void)
{
	while (sent_count > 0)
		free(sent[--sent_count]);
}

static struct receipts *make(void)
{
	struct error error = {0};
	struct receipts *receipts = receipts_new(on_send, NULL, &error);
	if (!receipts)
		fail_msg("%s", error.what);
	return receipts;
}

static const struct reply first = {"svc/v1/svc.bridge/a", "1-a", 3};
static const struct reply second = {"svc/v1/svc.bridge/a", "2-b", 3};
static const struct reply other = {"svc/v1/svc.bridge/b", "3-c", 3};

static void says_what_is_stored_and_what_was_refused(void **state)
{
	struct receipts *receipts cleanup(receipts_free_cleanup) = make();
	const struct message messages[] = {
		{.receipt = &first},
		{.reply = &first}, // asks for a mark, not for a receipt
		{.receipt = &second, .refusal = "cpu_pct is \"high\""},
		{.receipt = &other, .refusal = "unknown device", .foreign = true},
		{.receipt = &first},
	};
	receipts_committed(receipts, messages, 5);
	assert_int_equal(sent_count, 2);
	assert_string_equal(sent[0],
			    "svc/v1/svc.bridge/a {\"stored\":[\"1-a\",\"1-a\"],\"refused\":[{\"correlation\":\"2-b\","
			    "\"reason\":\"cpu_pct is \\\"high\\\"\",\"foreign\":false}]}");
	assert_string_equal(sent[1], "svc/v1/svc.bridge/b {\"stored\":[],\"refused\":[{\"correlation\":\"3-c\","
				     "\"reason\":\"unknown device\",\"foreign\":true}]}");
	forget();
	receipts_committed(receipts, messages, 1); // nothing is left over from before
	assert_int_equal(sent_count, 1);
	assert_string_equal(sent[0], "svc/v1/svc.bridge/a {\"stored\":[\"1-a\"],\"refused\":[]}");
	forget();
}

static void many_go_into_several_messages(void **state)
{
	enum { COUNT = 20000 };
	struct receipts *receipts cleanup(receipts_free_cleanup) = make();
	struct message *messages auto_free = calloc(COUNT, sizeof(*messages));
	struct error error = {0};
	size_t stored = 0;
	for (size_t i = 0; i < COUNT; i++)
		messages[i].receipt = &first;
	receipts_committed(receipts, messages, COUNT);
	assert_in_range(sent_count, 2, 10);
	for (size_t i = 0; i < sent_count; i++) {
		const char *payload = strchr(sent[i], ' ') + 1;
		struct json *json auto_json = json_parse(payload, strlen(payload), &error);
		if (!json)
			fail_msg("%s", error.what);
		assert_true(strlen(payload) < 65536);
		stored += json_array_length(json_member(json, "stored"));
	}
	assert_int_equal(stored, COUNT);
	forget();
}

static void more_bridges_than_are_gathered_at_a_time(void **state)
{
	enum { COUNT = 20 };
	struct receipts *receipts cleanup(receipts_free_cleanup) = make();
	char topics[COUNT][32];
	struct reply replies[COUNT];
	struct message messages[COUNT] = {0};
	for (size_t i = 0; i < COUNT; i++) {
		(void)snprintf(topics[i], sizeof(topics[i]), "svc/v1/svc.b%zu/x", i);
		replies[i] = (struct reply){topics[i], "1", 1};
		messages[i].receipt = &replies[i];
	}
	receipts_committed(receipts, messages, COUNT);
	assert_int_equal(sent_count, COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		size_t said = 0;
		for (size_t j = 0; j < COUNT; j++)
			said += strncmp(sent[j], topics[i], strlen(topics[i])) == 0;
		assert_int_equal(said, 1);
	}
	forget();
}

static void names(void **state)
{
	assert_true(receipts_is_name("0-aZ9", 5));
	assert_true(receipts_is_name("123456789012345678901234567890123456", 36));
	assert_false(receipts_is_name("1234567890123456789012345678901234567", 37));
	assert_false(receipts_is_name("", 0));
	assert_false(receipts_is_name(NULL, 0));
	assert_false(receipts_is_name("a\"b", 3));
	assert_false(receipts_is_name("a\0b", 3));
	assert_false(receipts_is_name("a b", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_is_stored_and_what_was_refused),
		cmocka_unit_test(many_go_into_several_messages),
		cmocka_unit_test(more_bridges_than_are_gathered_at_a_time),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
