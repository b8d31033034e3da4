#include "common/limits.h"
#include "common/mqtt_silence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LIMIT_MS 7000

static struct mqtt_silence silence;
static int64_t now_ms;
static int questions;
static bool writable; // the socket takes a question

static int setup(void **state)
{
	silence = (struct mqtt_silence){.limit_ms = LIMIT_MS};
	now_ms = 1000000;
	questions = 0;
	writable = true;
	mqtt_silence_begin(&silence, now_ms);
	return 0;
}

// Looks each so often for so long, and stops when it is silent. Returns how long it took.
static int64_t look(int64_t every_ms, int64_t for_ms)
{
	int64_t began_ms = now_ms;

	while (now_ms - began_ms < for_ms && !silence.silent) {
		now_ms += every_ms;
		if (mqtt_silence_look(&silence, now_ms) && writable) {
			mqtt_silence_asked(&silence);
			questions++;
		}
	}
	return now_ms - began_ms;
}

static void who_speaks_is_not_asked(void **state)
{
	for (int i = 0; i < 100; i++) {
		look(MQTT_LOOK_MS, MQTT_LOOK_MS);
		mqtt_silence_heard(&silence, now_ms);
	}
	assert_int_equal(questions, 0);
	assert_false(silence.silent);
}

static void who_answers_late_is_not_silent(void **state)
{
	for (int i = 0; i < 10; i++) {
		look(MQTT_LOOK_MS, MQTT_ASK_AFTER_MS + LIMIT_MS - MQTT_LOOK_MS);
		assert_false(silence.silent);
		mqtt_silence_heard(&silence, now_ms);
	}
	assert_int_equal(questions, 10);
}

static void who_does_not_answer_is_silent_within_ten_seconds_until_heard(void **state)
{
	assert_in_range(look(MQTT_LOOK_MS, 60000), LIMIT_MS, 10000);
	assert_true(silence.silent);
	assert_int_equal(questions, 1);
	mqtt_silence_heard(&silence, now_ms);
	assert_false(silence.silent);
	look(MQTT_LOOK_MS, 60000);
	assert_true(silence.silent);
	assert_int_equal(questions, 2);
}

// On a machine so loaded that we come to look every six seconds only, a broker has as many turns as on an idle one.
static void our_own_lateness_does_not_count(void **state)
{
	int64_t late_ms = look(6000, 600000);

	assert_true(silence.silent);
	assert_true(late_ms >= LIMIT_MS / MQTT_LOOK_MAX_MS * 6000);
}

// One stop of our own, as of a machine that slept, says nothing of the broker.
static void a_long_stop_of_ours_is_no_silence(void **state)
{
	look(MQTT_LOOK_MS, MQTT_ASK_AFTER_MS + 1000);
	assert_int_equal(questions, 1);
	now_ms += 3600000;
	(void)mqtt_silence_look(&silence, now_ms);
	assert_false(silence.silent);
}

// It reads again, so that the question fits in: from now on it has all the time to answer.
static void where_the_socket_was_full_waiting_begins_with_the_question(void **state)
{
	writable = false;
	look(MQTT_LOOK_MS, LIMIT_MS);
	assert_false(silence.silent);
	writable = true;
	assert_in_range(look(MQTT_LOOK_MS, 60000), LIMIT_MS, LIMIT_MS + 2000);
	assert_int_equal(questions, 1);
}

static void who_does_not_read_is_silent_too(void **state)
{
	writable = false;
	assert_in_range(look(MQTT_LOOK_MS, 60000), LIMIT_MS, 10000);
	assert_true(silence.silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(who_speaks_is_not_asked, setup),
		cmocka_unit_test_setup(who_answers_late_is_not_silent, setup),
		cmocka_unit_test_setup(who_does_not_answer_is_silent_within_ten_seconds_until_heard, setup),
		cmocka_unit_test_setup(our_own_lateness_does_not_count, setup),
		cmocka_unit_test_setup(a_long_stop_of_ours_is_no_silence, setup),
		cmocka_unit_test_setup(where_the_socket_was_full_waiting_begins_with_the_question, setup),
		cmocka_unit_test_setup(who_does_not_read_is_silent_too, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
