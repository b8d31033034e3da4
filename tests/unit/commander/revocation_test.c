#include "commander/revocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool parse(const char *text, struct revocation *out)
{
	struct error error = {0};

	return revocation_parse(text, strlen(text), out, &error);
}

static void reads_what_the_guard_says(void **state)
{
	struct revocation revocation = {.sent = 7};

	assert_true(parse("{\"readable\":true,\"applied\":13,\"entries\":2,\"sha256\":\"" DIGEST "\"}", &revocation));
	assert_true(revocation.readable);
	assert_int_equal(revocation.applied, 13);
	assert_string_equal(revocation.sha256, DIGEST);
	assert_int_equal(revocation.sent, 7); // what was sent is not the guard's to say
	assert_true(parse("{\"readable\":false,\"applied\":0,\"sha256\":\"" DIGEST "\",\"error\":\"x\"}", &revocation));
	assert_false(revocation.readable);
}

static void leaves_all_as_it_is_when_it_says_something_else(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{}",
		"{\"readable\":1,\"applied\":13,\"sha256\":\"" DIGEST "\"}",
		"{\"readable\":true,\"applied\":-1,\"sha256\":\"" DIGEST "\"}",
		"{\"readable\":true,\"applied\":\"13\",\"sha256\":\"" DIGEST "\"}",
		"{\"readable\":true,\"applied\":13,\"sha256\":\"" DIGEST "0\"}",
		"{\"readable\":true,\"applied\":13}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct revocation revocation = {.applied = 5};

		if (parse(texts[i], &revocation))
			fail_msg("took %s", texts[i]);
		assert_int_equal(revocation.applied, 5);
		assert_false(revocation.readable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_guard_says),
		cmocka_unit_test(leaves_all_as_it_is_when_it_says_something_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
