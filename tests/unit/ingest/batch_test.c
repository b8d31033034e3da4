#include "ingest/batch.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

static void test_full_by_number(void **state)
{
	struct batch batch;
	struct error error = {0};
	assert_true(batch_init(&batch, 3, &error));
	for (int i = 0; i < 3; i++) {
		assert_false(batch_full(&batch));
		struct message *message = batch_add(&batch);
		assert_null(message->device);
		message->device = "left behind";
	}
	assert_true(batch_full(&batch));
	// What is unacknowledged still has room.
	for (int i = 0; i < MQTT_RECEIVE_MAXIMUM; i++)
		assert_non_null(batch_add(&batch));
	batch.done = 2;
	batch_clear(&batch);
	assert_int_equal(batch.count, 0);
	assert_int_equal(batch.done, 0);
	assert_null(batch_add(&batch)->device);
	batch_done(&batch);
}

static void test_full_by_size(void **state)
{
	struct batch batch;
	struct error error = {0};
	assert_true(batch_init(&batch, 1000, &error));
	(void)batch_add(&batch);
	(void)arena_alloc(&batch.arena, BATCH_BYTES_MAX - 1000);
	assert_false(batch_full(&batch));
	(void)arena_alloc(&batch.arena, 1000);
	assert_true(batch_full(&batch));
	batch_done(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_by_number),
		cmocka_unit_test(test_full_by_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
