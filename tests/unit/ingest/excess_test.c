#include "common/limits.h"
#include "tests/unit/ingest/storing.h"

static struct store *store;

static void limit(int64_t messages_per_s, int64_t bytes_per_s)
{
	const struct limits limits = {messages_per_s, 10, bytes_per_s, PAYLOAD_MAX_BYTES};
	struct error error = {0};
	excess_done(&excess);
	if (!excess_init(&excess, &limits, metrics, clock_mono_ms(), &error))
		fail_msg("%s", error.what);
}

// As if later_ms had gone by.
static bool tell(int64_t later_ms)
{
	struct error error = {0};
	return store_tell_excess(store, clock_mono_ms() + later_ms, &error);
}

static void send_seqs(int first, int last)
{
	for (int seq = first; seq <= last; seq++)
		take_seq(seq);
	commit(store);
}

#define TOLD "from event where device = 'd1' and type = 'limit.exceeded'"

static void test_all_is_stored_and_told(void **state)
{
	limit(1, 0);
	send_seqs(1, 10);
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	assert_int_equal(number("select count(*) " TOLD), 0);
	send_seqs(11, 30);
	assert_true(tell(0)); // it still has something to count
	assert_int_equal(number("select count(*) " TOLD), 0);
	send_seqs(31, 40);
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	assert_int_equal(number("select (body->>'messages')::int " TOLD), 30);
	says("select body->>'messages_per_s' " TOLD, "1");
	says("select body->>'stored' " TOLD, "true");
	assert_int_equal(number("select count(*) from telemetry where device = 'd1'"), 40);
	assert_int_equal(mark(), 40);

	send_seqs(41, 60);
	assert_true(tell(LIMITER_NOTICE_EVERY_MS - 1000));
	assert_int_equal(number("select count(*) " TOLD), 1);
	assert_true(tell(LIMITER_NOTICE_EVERY_MS + LIMITER_NOTICE_FIRST_MS));
	assert_int_equal(number("select sum((body->>'messages')::int) " TOLD), 50);
	assert_int_equal(number("select count(*) from telemetry where device = 'd1'"), 60);
}

static void test_bytes_and_readings_count(void **state)
{
	limit(5, 0);
	take("fleet/v1/d1/telemetry", "[{\"a\":1},{\"a\":2},{\"a\":3},{\"a\":4},{\"a\":5},{\"a\":6}]");
	take("fleet/v1/d1/telemetry", "[{\"a\":1},{\"a\":2},{\"a\":3},{\"a\":4},{\"a\":5},{\"a\":6}]");
	commit(store);
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	says("select (body->>'messages') || ' ' || (body->>'bytes') " TOLD, "2 0");

	char payload[PAYLOAD_MAX_BYTES / 2];
	(void)snprintf(payload, sizeof(payload), "{\"type\":\"x\",\"a\":\"%*s\"}", (int)sizeof(payload) - 30, "");
	limit(0, 1);
	for (int i = 0; i < 3; i++)
		take("fleet/v1/d2/event", payload);
	commit(store);
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	const int64_t over = 3 * (int64_t)strlen(payload) - PAYLOAD_MAX_BYTES;
	assert_int_equal(number("select (body->>'messages')::int from event where device = 'd2' and "
				"type = 'limit.exceeded'"), 0);
	assert_int_equal(number("select (body->>'bytes')::int from event where device = 'd2' and "
				"type = 'limit.exceeded'"), over);
}

static void test_strangers_are_not_told_of(void **state)
{
	limit(1, 0);
	for (int i = 0; i < 3; i++) {
		for (int n = 0; n < 10; n++)
			take("fleet/v1/nobody/telemetry", "{\"a\":1}");
		commit(store);
	}
	assert_int_equal(limiter_count(excess.limiter), 0);
	assert_int_equal(number("select count(*) from quarantine"), 30);
	// What is refused for its content weighs as much as anything else.
	for (int i = 0; i < 3; i++) {
		for (int n = 0; n < 10; n++)
			take("fleet/v1/d1/telemetry", "nonsense");
		commit(store);
	}
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	assert_int_equal(number("select (body->>'messages')::int " TOLD), 20);
}

static void test_told_once_the_database_takes_it(void **state)
{
	limit(1, 0);
	send_seqs(1, 10);
	send_seqs(11, 20);
	exec("alter table event rename to event_away");
	assert_false(tell(LIMITER_NOTICE_FIRST_MS));
	assert_false(tell(LIMITER_NOTICE_FIRST_MS));
	exec("alter table event_away rename to event");
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	assert_int_equal(number("select (body->>'messages')::int " TOLD), 10);
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	assert_int_equal(number("select count(*) " TOLD), 1);
}

static void test_no_limit(void **state)
{
	limit(0, 0);
	for (int i = 0; i < 5; i++)
		send_seqs(i * 50 + 1, i * 50 + 50);
	assert_true(tell(LIMITER_NOTICE_FIRST_MS));
	assert_int_equal(number("select count(*) " TOLD), 0);
}

static void test_bad_limits(void **state)
{
	const struct limits limits = {.bytes_per_s = 1, .bytes_burst = 1};
	struct excess bad;
	struct error error = {0};
	assert_false(excess_init(&bad, &limits, metrics, 0, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	excess_done(&bad);
}

static int open_store(void **state)
{
	if (group_setup(state) != 0)
		return -1;
	store = new_store(false);
	return 0;
}

static int close_store(void **state)
{
	store_free(store);
	return group_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_is_stored_and_told, setup),
		cmocka_unit_test_setup(test_bytes_and_readings_count, setup),
		cmocka_unit_test_setup(test_strangers_are_not_told_of, setup),
		cmocka_unit_test_setup(test_told_once_the_database_takes_it, setup),
		cmocka_unit_test_setup(test_no_limit, setup),
		cmocka_unit_test_setup(test_bad_limits, setup),
	};
	return cmocka_run_group_tests(tests, open_store, close_store);
}
