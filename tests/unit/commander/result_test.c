#include "commander/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum command_state moved_to(const char *said, enum command_state current)
{
	enum command_state to = STATE_CANCELLED;

	return result_judge(said, "kiosk-7", "kiosk-7", true, current, &to) ? STATE_COUNT : to;
}

static void progress_moves_forward(void **state)
{
	assert_int_equal(moved_to("accepted", STATE_SENT), STATE_ACCEPTED);
	assert_int_equal(moved_to("running", STATE_ACCEPTED), STATE_RUNNING);
	assert_int_equal(moved_to("succeeded", STATE_RUNNING), STATE_SUCCEEDED);
	assert_int_equal(moved_to("failed", STATE_SENT), STATE_FAILED);
	assert_int_equal(moved_to("rejected", STATE_SENT), STATE_REJECTED);
	assert_int_equal(moved_to("succeeded", STATE_EXPIRED), STATE_SUCCEEDED);
}

static void repeats_and_old_news_do_nothing(void **state)
{
	assert_int_equal(moved_to("accepted", STATE_ACCEPTED), STATE_COUNT);
	assert_int_equal(moved_to("accepted", STATE_SUCCEEDED), STATE_COUNT);
	assert_int_equal(moved_to("running", STATE_FAILED), STATE_COUNT);
	assert_int_equal(moved_to("succeeded", STATE_FAILED), STATE_COUNT);
	assert_int_equal(moved_to("succeeded", STATE_REQUESTED), STATE_COUNT);
	assert_int_equal(moved_to("succeeded", STATE_CANCELLED), STATE_COUNT);
}

static void a_device_reports_only_a_devices_states(void **state)
{
	static const char *const words[] = {"requested", "queued", "sent", "expired", "Accepted", ""};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_int_equal(moved_to(words[i], STATE_SENT), STATE_COUNT);
}

static void a_cancelled_command_ends_so(void **state)
{
	assert_int_equal(moved_to("cancelled", STATE_SENT), STATE_CANCELLED);
	assert_int_equal(moved_to("cancelled", STATE_ACCEPTED), STATE_CANCELLED);
	assert_int_equal(moved_to("cancelled", STATE_RUNNING), STATE_CANCELLED);
	assert_int_equal(moved_to("cancelled", STATE_SUCCEEDED), STATE_COUNT); // too late: what it did is the truth
}

// Its maintenance window closed, and the device had taken it.
static void what_waits_again_is_answered_only_when_it_was_sent(void **state)
{
	enum command_state to = STATE_COUNT;

	assert_int_equal(moved_to("succeeded", STATE_QUEUED), STATE_SUCCEEDED);
	assert_string_equal(result_judge("succeeded", "kiosk-7", "kiosk-7", false, STATE_QUEUED, &to),
			    "the command was never sent");
}

static void only_the_owner_answers(void **state)
{
	enum command_state to;

	assert_string_equal(result_judge("succeeded", "kiosk-8", "kiosk-7", true, STATE_SENT, &to),
			    "the command is another device's");
	assert_string_equal(result_judge("succeeded", "kiosk-8", NULL, true, STATE_SENT, &to), "no such command");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(progress_moves_forward),
		cmocka_unit_test(repeats_and_old_news_do_nothing),
		cmocka_unit_test(a_device_reports_only_a_devices_states),
		cmocka_unit_test(a_cancelled_command_ends_so),
		cmocka_unit_test(what_waits_again_is_answered_only_when_it_was_sent),
		cmocka_unit_test(only_the_owner_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
