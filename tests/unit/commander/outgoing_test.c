#include "commander/outgoing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct outgoing_message make(const char *payload, bool keep)
{
	return (struct outgoing_message){.topic = "t",
					 .payload = payload,
					 .correlation = "\0x",
					 .correlation_bytes = 2,
					 .request_id = "r",
					 .keep = keep};
}

static bool add(struct outgoing *outgoing, const char *payload, bool keep)
{
	struct outgoing_message message = make(payload, keep);

	return outgoing_add(outgoing, &message);
}

static char sent[64];

static enum outgoing_fate record(void *user, const struct outgoing_message *message)
{
	const char *stop = user; // NULL: none

	assert_int_equal(message->correlation_bytes, 2);
	if (stop && strcmp(message->payload, stop) == 0)
		return OUTGOING_WAITS;
	if (strcmp(message->payload, "malformed") == 0)
		return OUTGOING_REFUSED;
	strncat(sent, message->payload, sizeof(sent) - strlen(sent) - 1);
	return OUTGOING_PUBLISHED;
}

static void nothing_leaves_before_commit(void **state)
{
	struct outgoing outgoing = {0};
	size_t lost = 0;

	sent[0] = '\0';
	assert_true(add(&outgoing, "a", false));
	assert_int_equal(outgoing_flush(&outgoing, true, record, NULL, &lost), 0);
	outgoing_commit(&outgoing);
	assert_true(add(&outgoing, "b", false));
	assert_int_equal(outgoing_flush(&outgoing, true, record, NULL, &lost), 1);
	outgoing_rollback(&outgoing);
	outgoing_commit(&outgoing);
	assert_int_equal(outgoing_flush(&outgoing, true, record, NULL, &lost), 0);
	assert_string_equal(sent, "a");
	assert_int_equal(lost, 0);
	outgoing_done(&outgoing);
}

static void replies_wait_for_the_broker_in_order(void **state)
{
	struct outgoing outgoing = {0};
	size_t lost = 0;
	char second[] = "2";

	sent[0] = '\0';
	assert_true(add(&outgoing, "1", true));
	assert_true(add(&outgoing, "x", false)); // a command: published again anyway
	assert_true(add(&outgoing, "2", true));
	outgoing_commit(&outgoing);
	assert_true(add(&outgoing, "3", true)); // not committed
	assert_int_equal(outgoing_flush(&outgoing, false, record, NULL, &lost), 0);
	outgoing_commit(&outgoing);
	assert_int_equal(outgoing_flush(&outgoing, true, record, second, &lost), 2); // the connection ends in between
	assert_string_equal(sent, "13");
	assert_int_equal(outgoing_flush(&outgoing, true, record, NULL, &lost), 1);
	assert_string_equal(sent, "132");
	assert_int_equal(lost, 0);
	outgoing_done(&outgoing);
}

static void what_no_broker_takes_is_not_kept(void **state)
{
	struct outgoing outgoing = {0};
	size_t lost = 0;

	sent[0] = '\0';
	assert_true(add(&outgoing, "malformed", true));
	assert_true(add(&outgoing, "1", true));
	outgoing_commit(&outgoing);
	assert_int_equal(outgoing_flush(&outgoing, true, record, NULL, &lost), 1);
	assert_string_equal(sent, "1");
	assert_int_equal(outgoing.count, 0);
	assert_int_equal(lost, 0);
	outgoing_done(&outgoing);
}

static void is_bounded_and_leaves_room(void **state)
{
	struct outgoing outgoing = {0};
	size_t lost = 0;

	for (size_t i = 0; i < OUTGOING_MAX; i++)
		assert_true(add(&outgoing, "p", true));
	assert_false(add(&outgoing, "p", true));
	outgoing_commit(&outgoing);
	assert_int_equal(outgoing_flush(&outgoing, false, record, NULL, &lost), 0);
	assert_int_equal(lost, OUTGOING_MAX / 2);
	assert_true(add(&outgoing, "p", true));
	outgoing_done(&outgoing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_leaves_before_commit),
		cmocka_unit_test(replies_wait_for_the_broker_in_order),
		cmocka_unit_test(what_no_broker_takes_is_not_kept),
		cmocka_unit_test(is_bounded_and_leaves_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
