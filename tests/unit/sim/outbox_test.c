#include "tools/sim/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
	static struct outbox outbox;

	outbox_init(&outbox);
	*state = &outbox;
	return 0;
}

static int teardown(void **state)
{
	outbox_done(*state);
	return 0;
}

static void push(struct outbox *outbox, const char *text, int64_t seqs)
{
	assert_true(outbox_push(outbox, TOPIC_TELEMETRY, text, strlen(text), seqs, 0));
}

// Sends all that the window lets through, with mids from *mid on; returns how many.
static int send_all(struct outbox *outbox, size_t window, int *mid)
{
	int count = 0;

	while (outbox_next(outbox, window)) {
		outbox_sent(outbox, (*mid)++);
		count++;
	}
	return count;
}

static void test_numbers_in_order(void **state)
{
	struct outbox *outbox = *state;

	assert_int_equal(strlen(outbox->epoch), 36);
	assert_int_equal(outbox_oldest_seq(outbox), 1);
	push(outbox, "one", 1);
	push(outbox, "two to four", 3);
	push(outbox, "five", 1);
	assert_int_equal(outbox->next_seq, 6);
	assert_int_equal(outbox->count, 3);
	assert_int_equal(outbox->head->next->first_seq, 2);
	assert_int_equal(outbox->head->next->last_seq, 4);
	assert_memory_equal(outbox->tail->payload, "five", 4);
	assert_int_equal(outbox_oldest_seq(outbox), 1);
}

static void test_keeps_to_the_window(void **state)
{
	struct outbox *outbox = *state;
	int mid = 1;

	for (int i = 0; i < 5; i++)
		push(outbox, "x", 1);
	assert_int_equal(send_all(outbox, 3, &mid), 3);
	assert_int_equal(send_all(outbox, 3, &mid), 0);
	assert_int_equal(outbox_stored(outbox, outbox->epoch, 2), 2);
	assert_int_equal(send_all(outbox, 3, &mid), 2);
	assert_int_equal(outbox->in_flight, 3);
}

static void test_stored_is_cumulative(void **state)
{
	struct outbox *outbox = *state;
	int mid = 1;

	for (int i = 0; i < 4; i++)
		push(outbox, "x", 1);
	(void)send_all(outbox, 100, &mid);
	assert_int_equal(outbox_stored(outbox, "another-epoch", 4), 0);
	assert_int_equal(outbox_stored(outbox, outbox->epoch, 3), 3);
	assert_int_equal(outbox_stored(outbox, outbox->epoch, 2), 0);
	assert_int_equal(outbox_oldest_seq(outbox), 4);
	assert_int_equal(outbox_stored(outbox, outbox->epoch, 4), 1);
	assert_int_equal(outbox->count, 0);
	assert_int_equal(outbox->in_flight, 0);
	assert_null(outbox->tail);
	assert_int_equal(outbox_oldest_seq(outbox), 5);
	push(outbox, "after", 1);
	assert_ptr_equal(outbox_next(outbox, 1), outbox->head);
}

static void test_keeps_a_message_stored_in_part(void **state)
{
	struct outbox *outbox = *state;

	push(outbox, "one to ten", 10);
	assert_int_equal(outbox_stored(outbox, outbox->epoch, 9), 0);
	assert_int_equal(outbox_oldest_seq(outbox), 1);
	assert_int_equal(outbox_stored(outbox, outbox->epoch, 10), 1);
}

static void test_rewind_sends_all_again(void **state)
{
	struct outbox *outbox = *state;
	int mid = 1;

	for (int i = 0; i < 3; i++)
		push(outbox, "x", 1);
	outbox_sent(outbox, mid++);
	outbox_sent(outbox, mid++);
	outbox_rewind(outbox);
	assert_int_equal(outbox->in_flight, 0);
	assert_ptr_equal(outbox_next(outbox, 10), outbox->head);
	assert_true(outbox->head->sent_before);
	assert_false(outbox->tail->sent_before);
	assert_int_equal(send_all(outbox, 10, &mid), 3);
	// What `stored` covers though it was not sent again yet is gone too.
	outbox_rewind(outbox);
	assert_int_equal(outbox_stored(outbox, outbox->epoch, 2), 2);
	assert_ptr_equal(outbox_next(outbox, 10), outbox->tail);
	assert_int_equal(outbox->in_flight, 0);
}

static void test_forgets_by_puback(void **state)
{
	struct outbox *outbox = *state;
	int mid = 7;

	for (int i = 0; i < 3; i++)
		push(outbox, "x", 1);
	(void)send_all(outbox, 2, &mid);
	assert_false(outbox_forget(outbox, 0));
	assert_false(outbox_forget(outbox, 99));
	assert_true(outbox_forget(outbox, 8));
	assert_false(outbox_forget(outbox, 8));
	assert_int_equal(outbox->count, 2);
	assert_int_equal(outbox->in_flight, 1);
	assert_true(outbox_forget(outbox, 7));
	assert_int_equal(outbox_oldest_seq(outbox), 3);
	assert_ptr_equal(outbox_next(outbox, 2), outbox->head);
}

// An acknowledgement from before a reconnect must not delete what was not sent in this one.
static void test_forgets_nothing_of_an_earlier_session(void **state)
{
	struct outbox *outbox = *state;
	int mid = 7;

	push(outbox, "x", 1);
	(void)send_all(outbox, 1, &mid);
	outbox_rewind(outbox);
	assert_false(outbox_forget(outbox, 7));
	assert_int_equal(outbox->count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeps_to_the_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stored_is_cumulative, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeps_a_message_stored_in_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rewind_sends_all_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgets_by_puback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgets_nothing_of_an_earlier_session, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
