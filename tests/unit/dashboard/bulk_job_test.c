#include "dashboard/bulk_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool is_read(const char *verb, const char *text, struct error *error)
{
	auto_json struct json *params = json_parse(text, strlen(text), NULL);
	auto_json struct json *copy = NULL;

	assert_non_null(params);
	return bulk_verb_params(bulk_verb_find(verb), params, &copy, error);
}

static void takes(const char *verb, const char *text)
{
	struct error error = {0};

	if (!is_read(verb, text, &error))
		fail_msg("%s %s: %s", verb, text, error.what);
}

static void refuses(const char *verb, const char *text, const char *says)
{
	struct error error = {0};

	if (is_read(verb, text, &error))
		fail_msg("%s %s was taken", verb, text);
	assert_int_equal(error.kind, ERROR_INVALID);
	if (!strstr(error.what, says))
		fail_msg("%s %s: %s", verb, text, error.what);
}

static void each_verb_has_its_params(void **state)
{
	takes("tag", "{\"add\":[\"a\",\"b\"]}");
	takes("tag", "{\"add\":[],\"remove\":[\"b\"]}");
	takes("add-to-group", "{\"group\":\"north\"}");
	takes("remove-from-group", "{\"group\":\"north\"}");
	takes("revoke", "{\"reason\":\"stolen\"}");
	takes("revoke", "{}");
	takes("restore", "{}");
}

static void what_does_not_belong_is_refused(void **state)
{
	refuses("tag", "{}", "must name a tag");
	refuses("tag", "{\"add\":[\"a,b\"]}", "\"add\"");
	refuses("tag", "{\"add\":[\"a\"],\"remove\":\"b\"}", "\"remove\"");
	refuses("tag", "{\"add\":[\"a\"],\"ad\":[]}", "\"ad\"");
	refuses("tag", "{\"add remove\":[]}", "\"add remove\"");
	refuses("tag", "{\"\":[]}", "no member \"\"");
	refuses("add-to-group", "{}", "\"group\"");
	refuses("add-to-group", "{\"group\":\"No Name\"}", "\"group\"");
	refuses("revoke", "{\"reason\":7}", "\"reason\"");
	refuses("revoke", "[]", "an object");
	assert_null(bulk_verb_find("wipe"));
	assert_null(bulk_verb_find(""));
}

static void only_administrators_restore(void **state)
{
	assert_int_equal(bulk_verb_find("restore")->roles, ROLE_ADMINISTRATOR);
	assert_int_equal(bulk_verb_find("revoke")->roles, ACCESS_ACT);
}

static void a_few_more_are_expected_many_are_not(void **state)
{
	assert_true(bulk_is_expected(0, 0));
	assert_false(bulk_is_expected(1, 0));
	assert_true(bulk_is_expected(49, 49));
	assert_false(bulk_is_expected(50, 49));
	assert_true(bulk_is_expected(51, 50));
	assert_true(bulk_is_expected(98000, 100000));
	assert_false(bulk_is_expected(97999, 100000));
	assert_false(bulk_is_expected(100000, 12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verb_has_its_params),
		cmocka_unit_test(what_does_not_belong_is_refused),
		cmocka_unit_test(only_administrators_restore),
		cmocka_unit_test(a_few_more_are_expected_many_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
