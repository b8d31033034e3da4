#include "tests/unit/scratch.h"

#include "tools/canary/due.h"

static struct due begun_at(int64_t now_ms)
{
	struct due due;
	char cause[PROOF_CAUSE_BYTES];

	due_init(&due, 3600000, 60000);
	due_begin(&due, now_ms, cause);
	assert_string_equal(cause, "");
	return due;
}

static void the_first_is_due_at_once(void **state)
{
	struct due due;

	due_init(&due, 3600000, 60000);
	assert_int_equal(due_at_ms(&due), 0);
}

static void then_it_follows_the_schedule(void **state)
{
	struct due due = begun_at(5000);

	assert_int_equal(due_at_ms(&due), 3605000);
}

static void many_who_ask_get_one_behind_the_gap(void **state)
{
	struct due due = begun_at(5000);
	char cause[PROOF_CAUSE_BYTES];

	due_ask(&due, "device a");
	due_ask(&due, "device b");
	assert_int_equal(due_at_ms(&due), 65000);
	due_ask(&due, ""); // takes no cause away
	due_begin(&due, 65000, cause);
	assert_string_equal(cause, "device b");
	assert_int_equal(due_at_ms(&due), 3665000);
	due_begin(&due, 3665000, cause);
	assert_string_equal(cause, "");
}

static void the_gap_holds_for_the_schedule_too(void **state)
{
	struct due due;
	char cause[PROOF_CAUSE_BYTES];

	due_init(&due, 1000, 60000);
	due_begin(&due, 5000, cause);
	assert_int_equal(due_at_ms(&due), 65000);
}

static void asking_never_puts_it_off(void **state)
{
	struct due due;
	char cause[PROOF_CAUSE_BYTES];

	due_init(&due, 70000, 60000);
	due_begin(&due, 5000, cause);
	due_ask(&due, "device a");
	assert_int_equal(due_at_ms(&due), 65000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_is_due_at_once),
		cmocka_unit_test(then_it_follows_the_schedule),
		cmocka_unit_test(many_who_ask_get_one_behind_the_gap),
		cmocka_unit_test(the_gap_holds_for_the_schedule_too),
		cmocka_unit_test(asking_never_puts_it_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
