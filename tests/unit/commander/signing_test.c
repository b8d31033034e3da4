#include "commander/signing.h"

#include "common/clock.h"
#include "tests/unit/scratch.h"

#include <sys/stat.h>

static void open_at(struct signing *signing, const char *key)
{
	struct error error = {0};
	if (!signing_init(signing, key, &error))
		fail_msg("%s", error.what);
}

static int64_t next(struct signing *signing, int64_t last)
{
	struct error error = {0};
	int64_t n = 0;
	if (!signing_counter(signing, last, &n, &error))
		fail_msg("%s", error.what);
	return n;
}

static void follows_the_clock_and_what_was_given(void **state)
{
	struct signing signing;
	char *key auto_free = scratch_path(state, "key.pem");
	assert_true(jws_signer_create(key, NULL));
	open_at(&signing, key);
	int64_t before = clock_wall_ms();
	int64_t first = next(&signing, 0);
	assert_true(first >= before && first <= clock_wall_ms());
	assert_int_equal(next(&signing, first + 1000), first + 1001); // faster than the clock
	assert_true(next(&signing, 3) >= first);		       // another device
	signing_done(&signing);
}

// The clock goes back to 1970 while commander is down, and the database to an old copy.
static void never_gives_a_number_again_after_a_restart(void **state)
{
	struct signing signing;
	char *key auto_free = scratch_path(state, "key.pem");
	char *counter auto_free = scratch_path(state, "key.pem.counter");
	char ahead[32];
	assert_true(jws_signer_create(key, NULL));
	int64_t given = 0;
	for (int life = 0; life < 5; life++) {
		open_at(&signing, key);
		int64_t n = next(&signing, 0);
		assert_true(n > given);
		given = next(&signing, n + 50);
		signing_done(&signing);
	}
	// What a clock that was years ahead has left.
	(void)snprintf(ahead, sizeof(ahead), "%lld\n", (long long)given * 2);
	assert_true(file_write(counter, ahead, strlen(ahead), 0600, NULL));
	open_at(&signing, key);
	assert_int_equal(next(&signing, 0), given * 2 + 1);
	signing_done(&signing);
}

// Two cells on one machine, with one key.
static void another_commander_that_went_ahead_is_not_set_back(void **state)
{
	struct signing one;
	struct signing other;
	char *key auto_free = scratch_path(state, "key.pem");
	assert_true(jws_signer_create(key, NULL));
	open_at(&one, key);
	open_at(&other, key);
	int64_t ahead = next(&other, clock_wall_ms() + 3600000);
	(void)next(&one, 0);
	signing_done(&one);
	signing_done(&other);
	open_at(&one, key);
	assert_true(next(&one, 0) > ahead);
	signing_done(&one);
}

static void what_cannot_be_kept_is_not_given(void **state)
{
	struct signing signing;
	struct error error = {0};
	int64_t n = 5;
	char *folder auto_free = scratch_path(state, "keys");
	char *key auto_free = scratch_path(state, "keys/key.pem");
	char *counter auto_free = scratch_path(state, "keys/key.pem.counter");
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_true(jws_signer_create(key, NULL));
	open_at(&signing, key);
	assert_int_equal(mkdir(counter, 0700), 0); // not even root writes a file there
	assert_false(signing_counter(&signing, 0, &n, &error));
	assert_int_equal(n, 5);
	signing_done(&signing);
	assert_int_equal(rmdir(counter), 0);
	assert_true(file_write(counter, "many", 4, 0600, NULL));
	assert_false(signing_init(&signing, key, &error));
	assert_non_null(strstr(error.what, "holds no number"));
	signing_done(&signing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(follows_the_clock_and_what_was_given, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(never_gives_a_number_again_after_a_restart, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(another_commander_that_went_ahead_is_not_set_back, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_kept_is_not_given, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
