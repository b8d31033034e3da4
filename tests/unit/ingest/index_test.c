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

// Where a name comes to stand is not to be known from outside.
static void test_seed(void **state)
{
	struct arena arena;
	struct index a = {0}, b = {0};
	bool added;
	size_t elsewhere = 0;
	arena_init(&arena, 1 << 20);
	for (size_t i = 0; i < 30; i++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "epoch-%zu", i);
		(void)index_number(&a, &arena, name, (size_t)len, &added);
		(void)index_number(&b, &arena, name, (size_t)len, &added);
	}
	assert_int_equal(a.capacity, b.capacity);
	for (size_t i = 0; i < a.capacity; i++)
		elsewhere += a.slots[i].name && (!b.slots[i].name || strcmp(a.slots[i].name, b.slots[i].name) != 0);
	assert_true(elsewhere > 15); // all alike but one in 64 each
	index_done(&a);
	index_done(&b);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_seed)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
