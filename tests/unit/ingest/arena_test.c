#include "ingest/arena.h"

#include "tests/unit/scratch.h"

#include <stdalign.h>

static void test_contents(void **state)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	char *first = arena_copy(&arena, "ab\0c", 4);
	assert_memory_equal(first, "ab\0c", 5);
	assert_string_equal(arena_string(&arena, "text"), "text");
	assert_null(arena_string(&arena, NULL));
	assert_string_equal(arena_copy(&arena, NULL, 0), "");
	for (size_t bytes = 1; bytes < 3000; bytes += 7) {
		unsigned char *block = arena_alloc(&arena, bytes);
		assert_int_equal((uintptr_t)block % alignof(max_align_t), 0);
		for (size_t i = 0; i < bytes; i++)
			assert_int_equal(block[i], 0);
		memset(block, 0xff, bytes);
	}
	assert_memory_equal(first, "ab\0c", 5);
	arena_done(&arena);
}

static void test_reset_keeps_up_to_its_ceiling(void **state)
{
	struct arena arena;
	arena_init(&arena, (size_t)512 * 1024);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++)
			memset(arena_alloc(&arena, 100000), 0xff, 100000);
		(void)arena_alloc(&arena, (size_t)2 * 1024 * 1024); // larger than a chunk
		assert_true(arena.used_bytes >= 40 * 100000);
		arena_reset(&arena);
		assert_int_equal(arena.used_bytes, 0);
		assert_true(arena.held_bytes <= (size_t)512 * 1024);
	}
	const size_t held = arena.held_bytes;
	assert_true(held > 0);
	(void)arena_alloc(&arena, 1000);
	assert_int_equal(arena.held_bytes, held); // used again
	arena_done(&arena);
	assert_int_equal(arena.held_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_reset_keeps_up_to_its_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
