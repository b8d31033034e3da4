#include "tools/sim/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS 500

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

// Sets, moves and takes out at random, and compares with a plain search each time.
static void test_first_is_the_earliest(void **state)
{
	struct schedule schedule;
	static struct schedule_item items[ITEMS];
	uint32_t random = 1;

	memset(items, 0, sizeof(items));
	assert_true(schedule_init(&schedule, ITEMS));
	assert_null(schedule_first(&schedule));
	for (int step = 0; step < 20000; step++) {
		struct schedule_item *item = &items[next_random(&random) % ITEMS];
		bool take_out = next_random(&random) % 3 == 0;
		int64_t earliest = SCHEDULE_NEVER;
		size_t in = 0;

		schedule_set(&schedule, item, take_out ? SCHEDULE_NEVER : (int64_t)(next_random(&random) % 1000));
		for (int i = 0; i < ITEMS; i++) {
			if (!items[i].place)
				continue;
			in++;
			if (items[i].due_ms < earliest)
				earliest = items[i].due_ms;
		}
		assert_int_equal(schedule.count, in);
		const struct schedule_item *first = schedule_first(&schedule);
		if (in == 0)
			assert_null(first);
		else
			assert_int_equal(first->due_ms, earliest);
	}
	schedule_done(&schedule);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_is_the_earliest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
