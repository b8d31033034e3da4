#include "ingest/index.h"

#include "tests/unit/scratch.h"

static void test_numbers(void **state)
{
	struct arena arena;
	struct index index = {0};
	bool added;
	arena_init(&arena, 1 << 20);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 5000; i++) {
			char name[32];
			int len = snprintf(name, sizeof(name), "device-%zu", i);
			assert_int_equal(index_number(&index, &arena, name, (size_t)len, &added), i);
			assert_true(added);
		}
		for (size_t i = 0; i < 5000; i++) {
			char name[32];
			int len = snprintf(name, sizeof(name), "device-%zu", i);
			assert_int_equal(index_number(&index, &arena, name, (size_t)len, &added), i);
			assert_false(added);
		}
		assert_int_equal(index.count, 5000);
		index_clear(&index);
		arena_reset(&arena);
	}
	assert_int_equal(index_number(&index, &arena, "", 0, &added), 0);
	assert_true(added);
	index_done(&index);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
