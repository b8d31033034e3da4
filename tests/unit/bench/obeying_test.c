#include "tools/bench/obeying.h"

#include "common/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID "0f8c1f0e-0000-4000-8000-000000000001"

static bool id_of(const char *claims, char id[37])
{
	char payload[512];
	char jws[600];

	crypto_base64url(claims, strlen(claims), payload);
	int bytes = snprintf(jws, sizeof(jws), "eyJhbGciOiJFZERTQSJ9.%s.c2ln", payload);
	return obeying_command_id(jws, (size_t)bytes, id);
}

static void the_id_is_found_in_the_claims(void **state)
{
	char id[37] = "";

	assert_true(id_of("{\"jti\":\"" ID "\",\"sub\":\"a\"}", id));
	assert_string_equal(id, ID);
	assert_true(id_of("{\"sub\":\"a\",\"jti\":\"" ID "\"}", id));
}

static void what_has_none_is_refused(void **state)
{
	char id[37];

	assert_false(id_of("{\"sub\":\"a\"}", id));
	assert_false(id_of("{\"jti\":\"0f8c", id));
	assert_false(obeying_command_id("no jws", 6, id));
	assert_false(obeying_command_id("a.!.c", 5, id));
	assert_false(obeying_command_id("a.b", 3, id));
	assert_false(obeying_command_id("", 0, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_id_is_found_in_the_claims),
		cmocka_unit_test(what_has_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
