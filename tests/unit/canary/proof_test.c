#include "tests/unit/scratch.h"

#include "tools/canary/proof.h"

static struct proof begun(void)
{
	struct proof proof;

	proof_begin(&proof, "device kiosk-7", "0f", "2026-01-31 08:15:30.5+00", 1000);
	return proof;
}

static void cut_and_refused_three_times_holds(void **state)
{
	struct proof proof = begun();

	assert_int_equal(proof_next(&proof, 1500), PROOF_AWAIT_CUT);
	assert_false(proof_holds(&proof));
	proof_cut(&proof, 0.018, 1600);
	for (int i = 0; i < PROOF_TRIES; i++) {
		assert_int_equal(proof_next(&proof, 1700), PROOF_TRY);
		assert_false(proof_holds(&proof));
		proof_answered(&proof, false, 1700);
	}
	assert_int_equal(proof_next(&proof, 1700), PROOF_OVER);
	assert_true(proof_holds(&proof));
	assert_int_equal(proof.refused, 3);
	assert_string_equal(proof.cause, "device kiosk-7");
}

static void one_that_is_let_in_does_not_hold(void **state)
{
	for (int let_in = 0; let_in < PROOF_TRIES; let_in++) {
		struct proof proof = begun();

		proof_cut(&proof, 0.018, 1100);
		for (int i = 0; i < PROOF_TRIES; i++)
			proof_answered(&proof, i == let_in, 1200);
		assert_int_equal(proof_next(&proof, 1200), PROOF_OVER);
		assert_int_equal(proof.admitted, 1);
		assert_false(proof_holds(&proof));
	}
}

// It is not cut in time; that it is refused then does not make up for it.
static void one_that_lives_on_does_not_hold(void **state)
{
	struct proof proof = begun();

	assert_int_equal(proof_next(&proof, 1000 + PROOF_CUT_MS - 1), PROOF_AWAIT_CUT);
	assert_int_equal(proof_next(&proof, 1000 + PROOF_CUT_MS), PROOF_TRY);
	proof_cut(&proof, 0.1, 12000); // too late
	for (int i = 0; i < PROOF_TRIES; i++)
		proof_answered(&proof, false, 12000);
	assert_int_equal(proof_next(&proof, 12000), PROOF_OVER);
	assert_false(proof.cut);
	assert_false(proof_holds(&proof));
}

static void cut_too_late_by_the_databases_clock_does_not_hold(void **state)
{
	struct proof proof = begun();

	proof_cut(&proof, 10.5, 1100);
	for (int i = 0; i < PROOF_TRIES; i++)
		proof_answered(&proof, false, 1200);
	assert_false(proof_holds(&proof));
}

static void a_broker_that_says_nothing_proves_nothing(void **state)
{
	struct proof proof = begun();

	proof_cut(&proof, 0.018, 1100);
	proof_answered(&proof, false, 1200);
	assert_int_equal(proof_next(&proof, 1200 + PROOF_TRY_MS - 1), PROOF_TRY); // each try has its time
	assert_int_equal(proof_next(&proof, 1200 + PROOF_TRY_MS), PROOF_OVER);
	proof_answered(&proof, false, 20000);
	assert_int_equal(proof.refused, 1);
	assert_false(proof_holds(&proof));
}

static void long_texts_are_cut(void **state)
{
	char text[500];
	struct proof proof;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	proof_begin(&proof, text, text, text, 0);
	assert_int_equal(strlen(proof.cause), sizeof(proof.cause) - 1);
	assert_int_equal(strlen(proof.serial), sizeof(proof.serial) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_and_refused_three_times_holds),
		cmocka_unit_test(one_that_is_let_in_does_not_hold),
		cmocka_unit_test(one_that_lives_on_does_not_hold),
		cmocka_unit_test(cut_too_late_by_the_databases_clock_does_not_hold),
		cmocka_unit_test(a_broker_that_says_nothing_proves_nothing),
		cmocka_unit_test(long_texts_are_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
