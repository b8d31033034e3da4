#include "common/push_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void takes_what_services_give(void **state)
{
	static char longest[PUSH_TOKEN_MAX + 2];

	assert_true(push_token_ok("dQw4w9WgXcQ:APA91bH_x-Y"));
	memset(longest, 'a', PUSH_TOKEN_MAX);
	assert_true(push_token_ok(longest));
	longest[PUSH_TOKEN_MAX] = 'a';
	assert_false(push_token_ok(longest));
}

static void refuses_the_rest(void **state)
{
	static const char *const bad[] = {"", " ", "a b", "a\"", "a,b", "{a}", "a\n", "\xc3\xa4", "a\\"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(push_token_ok(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_services_give),
		cmocka_unit_test(refuses_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
