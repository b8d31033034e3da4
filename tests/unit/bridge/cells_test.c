#include "bridge/cells.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void none_is_one(void **state)
{
	static char *const none[] = {NULL};
	char *const *const lists[] = {NULL, none};
	struct cells cells;

	for (size_t i = 0; i < 2; i++) {
		assert_true(cells_parse(lists[i], "broker.example", 8883, &cells, NULL));
		assert_int_equal(cells.count, 1);
		assert_string_equal(cells_find(&cells, 1)->host, "broker.example");
		assert_int_equal(cells_find(&cells, 1)->port, 8883);
		assert_string_equal(cells.ids, "{1}");
	}
}

static void as_they_are_listed(void **state)
{
	static char first[] = "3 b3.example 8883";
	static char second[] = " 2147483647  192.0.2.1 65535 ";
	static char *const lines[] = {first, second, NULL};
	struct cells cells;

	assert_true(cells_parse(lines, "unused", 1, &cells, NULL));
	assert_int_equal(cells.count, 2);
	assert_null(cells_find(&cells, 1));
	assert_string_equal(cells_find(&cells, 3)->host, "b3.example");
	assert_string_equal(cells_find(&cells, 2147483647)->host, "192.0.2.1");
	assert_int_equal(cells_find(&cells, 2147483647)->port, 65535);
	assert_string_equal(cells.ids, "{3,2147483647}");
}

static void nonsense_is_refused(void **state)
{
	static const char *const wrong[] = {"",	     "1",	  "1 h",    "0 h 1",	  "-1 h 1", "x h 1",
					    "1 h 0", "1 h 65536", "1 h 1x", "1 h 1 more", "1x h 1", "2147483648 h 1",
					    "1 h +1"};
	static char good[] = "7 h 1";
	static char again[] = "7 other 2";
	char *const twice[] = {good, again, NULL};
	struct cells cells = {.count = 77};
	struct error error = {0};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[64];
		char *const lines[] = {text, NULL};

		(void)snprintf(text, sizeof(text), "%s", wrong[i]);
		if (cells_parse(lines, "h", 1, &cells, &error))
			fail_msg("\"%s\" was accepted", wrong[i]);
		assert_int_equal(error.kind, ERROR_INVALID);
	}
	assert_false(cells_parse(twice, "h", 1, &cells, &error));
	assert_int_equal(cells.count, 77);
}

static void as_many_as_there_is_room_for(void **state)
{
	char texts[CELLS_MAX + 1][32];
	char *lines[CELLS_MAX + 2];
	struct cells cells;

	for (int i = 0; i <= CELLS_MAX; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "%d h 1", 2147483647 - i);
		lines[i] = texts[i];
	}
	lines[CELLS_MAX + 1] = NULL;
	assert_false(cells_parse(lines, "h", 1, &cells, NULL));
	lines[CELLS_MAX] = NULL;
	assert_true(cells_parse(lines, "h", 1, &cells, NULL));
	assert_int_equal(cells.ids[strlen(cells.ids) - 1], '}');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_one),
		cmocka_unit_test(as_they_are_listed),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(as_many_as_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
