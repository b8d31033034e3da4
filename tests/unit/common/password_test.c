#include "common/password.h"

#include "tests/unit/scratch.h"

static void verifies_what_it_hashed(void **state)
{
	(void)state;
	struct error error;
	char *hash auto_free = password_hash("correct horse", &error);
	assert_non_null(hash);
	assert_memory_equal(hash, "$y$", 3);
	assert_true(password_verify("correct horse", hash));
	assert_false(password_verify("correct hors", hash));
	assert_false(password_verify("correct horse ", hash));
	assert_false(password_verify("", hash));
}

static void salts_differ(void **state)
{
	(void)state;
	char *one auto_free = password_hash("same", NULL);
	char *two auto_free = password_hash("same", NULL);
	assert_string_not_equal(one, two);
}

// Made with perl -e 'print crypt("muster", ...)'.
static void verifies_a_foreign_hash(void **state)
{
	(void)state;
	assert_true(
		password_verify("muster", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$0iy4I0LVJ54/Oxs8v/YJ9OXuW84qeTry2Im8DC2CCi9"));
}

static void only_yescrypt_is_a_hash(void **state)
{
	(void)state;
	static const char *const cases[] = {"",
					    "*0",
					    "*1",
					    "$y$",
					    "$y$j9T$",
					    "plain",
					    "ab",
					    "$1$abcdefgh$",
					    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/"
					    "O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_false(password_verify("Hello world!", cases[i]));
		assert_false(password_verify(cases[i], cases[i]));
	}
	assert_false(password_verify("x", NULL));
}

static void lengths_are_bounded(void **state)
{
	(void)state;
	char longest[PASSWORD_MAX_BYTES + 2];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	struct error error;
	assert_null(password_hash(longest, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_null(password_hash("", &error));
	assert_int_equal(error.kind, ERROR_INVALID);

	longest[PASSWORD_MAX_BYTES] = '\0';
	char *hash auto_free = password_hash(longest, &error);
	assert_non_null(hash);
	assert_true(password_verify(longest, hash));
	longest[PASSWORD_MAX_BYTES - 1] = 'b'; // the last byte counts
	assert_false(password_verify(longest, hash));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies_what_it_hashed), cmocka_unit_test(salts_differ),
		cmocka_unit_test(verifies_a_foreign_hash), cmocka_unit_test(only_yescrypt_is_a_hash),
		cmocka_unit_test(lengths_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
