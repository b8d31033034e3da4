#include "commander/transition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_and_states_agree(void **state)
{
	for (int i = 0; i < STATE_COUNT; i++) {
		enum command_state parsed = STATE_COUNT;

		assert_true(command_state_parse(command_state_name((enum command_state)i), &parsed));
		assert_int_equal(parsed, i);
	}
	enum command_state untouched = STATE_SENT;

	assert_false(command_state_parse("Sent", &untouched));
	assert_false(command_state_parse("", &untouched));
	assert_false(command_state_parse(NULL, &untouched));
	assert_int_equal(untouched, STATE_SENT);
}

static void the_way_through_is_open(void **state)
{
	assert_true(transition_allowed(STATE_REQUESTED, STATE_QUEUED));
	assert_true(transition_allowed(STATE_QUEUED, STATE_SENT));
	assert_true(transition_allowed(STATE_SENT, STATE_ACCEPTED));
	assert_true(transition_allowed(STATE_ACCEPTED, STATE_RUNNING));
	assert_true(transition_allowed(STATE_RUNNING, STATE_SUCCEEDED));
	assert_true(transition_allowed(STATE_RUNNING, STATE_FAILED));
	assert_true(transition_allowed(STATE_SENT, STATE_SUCCEEDED)); // done at once
	assert_true(transition_allowed(STATE_SENT, STATE_REJECTED));
	assert_true(transition_allowed(STATE_ACCEPTED, STATE_CANCELLED)); // the device says so
	assert_true(transition_allowed(STATE_RUNNING, STATE_CANCELLED));
}

static void nothing_leaves_a_final_state_but_the_truth_after_expiry(void **state)
{
	for (int from = 0; from < STATE_COUNT; from++) {
		for (int to = 0; to < STATE_COUNT; to++) {
			bool late = from == STATE_EXPIRED && (to == STATE_ACCEPTED || to == STATE_RUNNING ||
							      to == STATE_SUCCEEDED || to == STATE_FAILED);

			if (command_state_is_final((enum command_state)from))
				assert_int_equal(transition_allowed((enum command_state)from, (enum command_state)to),
						 late);
		}
	}
}

static void nothing_else_goes_back_or_stays(void **state)
{
	for (int from = 0; from < STATE_SUCCEEDED; from++) {
		for (int to = 0; to <= from; to++)
			assert_int_equal(transition_allowed((enum command_state)from, (enum command_state)to),
					 from == STATE_SENT && to == STATE_QUEUED); // its window closed
	}
}

static void a_device_cannot_answer_what_was_not_sent(void **state)
{
	for (int to = STATE_ACCEPTED; to <= STATE_FAILED; to++)
		assert_false(transition_allowed(STATE_REQUESTED, (enum command_state)to));
}

static void a_move_outside_the_table_is_refused_before_the_database(void **state)
{
	const struct transition moves[] = {
		{"0f8c2a10-0000-4000-8000-000000000001", STATE_REQUESTED, STATE_QUEUED, "request", NULL, NULL, NULL, 0,
		 0, 0},
		{"0f8c2a10-0000-4000-8000-000000000002", STATE_SUCCEEDED, STATE_RUNNING, "result", NULL, NULL, NULL, 0,
		 0, 0},
	};
	struct error error = {0};

	assert_false(transition_apply(NULL, moves, 2, NULL, &error)); // NULL: nothing may be asked
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_non_null(strstr(error.what, "from succeeded to running"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_states_agree),
		cmocka_unit_test(the_way_through_is_open),
		cmocka_unit_test(nothing_leaves_a_final_state_but_the_truth_after_expiry),
		cmocka_unit_test(nothing_else_goes_back_or_stays),
		cmocka_unit_test(a_device_cannot_answer_what_was_not_sent),
		cmocka_unit_test(a_move_outside_the_table_is_refused_before_the_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
