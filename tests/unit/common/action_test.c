#include "common/action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool check(const char *name, const char *text, struct error *error)
{
	struct json *params = text ? json_parse(text, strlen(text), error) : NULL;
	bool ok;

	assert_true(!text || params);
	ok = action_check_params(action_find(name), params, error);
	json_free(params);
	return ok;
}

static void knows_the_actions_of_the_protocol(void **state)
{
	size_t count = 0;

	assert_non_null(action_table(&count));
	assert_int_equal(count, 3);
	assert_non_null(action_find("ping"));
	assert_non_null(action_find("set_interval"));
	assert_true(action_find("reboot")->destructive);
	assert_false(action_find("ping")->destructive);
	assert_null(action_find("Ping"));
	assert_null(action_find(""));
	assert_null(action_find(NULL));
}

static void accepts_what_is_in_range(void **state)
{
	struct error error = {0};

	assert_true(check("ping", NULL, &error));
	assert_true(check("ping", "{}", &error));
	assert_true(check("reboot", "{}", &error));
	assert_true(check("set_interval", "{\"seconds\":5}", &error));
	assert_true(check("set_interval", "{\"seconds\":86400}", &error));
}

static void refuses_and_names_the_fault(void **state)
{
	static const struct {
		const char *action, *params, *says;
	} cases[] = {
		{"ping", "[]", "params must be a JSON object"},
		{"ping", "{\"x\":1}", "no parameter \"x\""},
		{"set_interval", NULL, "needs the parameter \"seconds\""},
		{"set_interval", "{}", "needs the parameter \"seconds\""},
		{"set_interval", "{\"seconds\":4}", "from 5 to 86400"},
		{"set_interval", "{\"seconds\":86401}", "from 5 to 86400"},
		{"set_interval", "{\"seconds\":\"60\"}", "must be an integer"},
		{"set_interval", "{\"seconds\":60.5}", "must be an integer"},
		{"set_interval", "{\"seconds\":null}", "must be an integer"},
		{"set_interval", "{\"seconds\":60,\"more\":1}", "no parameter \"more\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = {0};

		assert_false(check(cases[i].action, cases[i].params, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
		if (!strstr(error.what, cases[i].says))
			fail_msg("case %zu says \"%s\"", i, error.what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_actions_of_the_protocol),
		cmocka_unit_test(accepts_what_is_in_range),
		cmocka_unit_test(refuses_and_names_the_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
