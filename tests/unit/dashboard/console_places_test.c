#include "dashboard/console_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool parse(const char *url, const char *a, const char *b, struct console_places *out)
{
	char *lines[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b, NULL};
	struct error error = {0};

	return console_places_parse(url, lines, out, &error);
}

static void one_address_is_that_of_cell_1(void **state)
{
	struct console_places places;

	assert_true(parse("wss://a:8084", NULL, NULL, &places));
	assert_int_equal(places.count, 1);
	assert_string_equal(console_places_find(&places, 1)->url, "wss://a:8084");
	assert_null(console_places_find(&places, 2));
	assert_true(console_places_parse(NULL, NULL, &places, &(struct error){0}));
	assert_int_equal(places.count, 0);
}

static void other_cells_have_their_own(void **state)
{
	struct console_places places;

	assert_true(parse("wss://a:8084", "2 wss://b:8084", "7  wss://c:8084/mqtt", &places));
	assert_string_equal(console_places_find(&places, 2)->url, "wss://b:8084");
	assert_string_equal(console_places_find(&places, 7)->url, "wss://c:8084/mqtt");
	assert_true(parse(NULL, "1 wss://a:8084", NULL, &places));
	assert_string_equal(console_places_find(&places, 1)->url, "wss://a:8084");
}

static void what_is_unclear_is_refused(void **state)
{
	static const char *const wrong[] = {"", "wss://b", "2", "2 ", "0 wss://b", "-1 wss://b", "x wss://b", "2wss://b",
					    "99999999999 wss://b", "4294967297 wss://b"};
	struct console_places places;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(parse(NULL, wrong[i], NULL, &places));
	assert_false(parse("wss://a", "1 wss://b", NULL, &places));
	assert_false(parse(NULL, "2 wss://a", "2 wss://b", &places));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address_is_that_of_cell_1),
		cmocka_unit_test(other_cells_have_their_own),
		cmocka_unit_test(what_is_unclear_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
