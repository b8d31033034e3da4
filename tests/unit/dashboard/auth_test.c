#include "dashboard/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HOST "muster.example:8443"

static void our_own_page_may(void **state)
{
	assert_true(auth_same_origin("same-origin", "https://" HOST, HOST, false));
	assert_true(auth_same_origin("same-origin", NULL, HOST, false));
	assert_true(auth_same_origin(NULL, "https://" HOST, HOST, false));
	assert_true(auth_same_origin(NULL, "https://Muster.example:8443", HOST, false));
}

static void other_sites_may_not(void **state)
{
	static const char *const sites[] = {"cross-site", "same-site", "none", "", "same-origin "};
	static const char *const origins[] = {"https://evil.example",	"https://" HOST ".evil.example",
					      "http://" HOST,		"https://muster.example",
					      "https://muster.example:8444", "null", ""};

	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++)
		assert_false(auth_same_origin(sites[i], "https://" HOST, HOST, true));
	for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		assert_false(auth_same_origin(NULL, origins[i], HOST, true));
		assert_false(auth_same_origin("same-origin", origins[i], HOST, true));
	}
	assert_false(auth_same_origin(NULL, "https://" HOST, NULL, true));
}

static void no_word_at_all_is_not_enough_for_a_cookie(void **state)
{
	assert_false(auth_same_origin(NULL, NULL, HOST, false));
	assert_true(auth_same_origin(NULL, NULL, HOST, true));
}

static void loopback_is_known(void **state)
{
	assert_true(auth_is_loopback("127.0.0.1"));
	assert_true(auth_is_loopback("127.8.0.1"));
	assert_true(auth_is_loopback("::1"));
	assert_false(auth_is_loopback("12.7.0.1"));
	assert_false(auth_is_loopback("192.0.2.127"));
	assert_false(auth_is_loopback("::2"));
	assert_false(auth_is_loopback("unknown"));
}

static void roles_have_names(void **state)
{
	static const enum role roles[] = {ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMINISTRATOR, ROLE_AUDITOR};
	enum role parsed = 0;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		assert_true(auth_role_parse(auth_role_name(roles[i]), &parsed));
		assert_int_equal(parsed, roles[i]);
	}
	assert_false(auth_role_parse("root", &parsed));
	assert_false(auth_role_parse("", &parsed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_page_may),
		cmocka_unit_test(other_sites_may_not),
		cmocka_unit_test(no_word_at_all_is_not_enough_for_a_cookie),
		cmocka_unit_test(loopback_is_known),
		cmocka_unit_test(roles_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
