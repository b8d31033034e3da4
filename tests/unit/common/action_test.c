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
	static const char *const destructive[] = {"reboot", "shutdown", "wipe", "uninstall_package", "run", "unenroll"};
	static const char *const cancellable[] = {"ring", "run", "collect_logs"};
	size_t count = 0;
	size_t marked = 0;
	const struct action *actions = action_table(&count);

	assert_int_equal(count, 20);
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(action_find(actions[i].name), &actions[i]);
		assert_true(actions[i].timeout_s >= 60);
		assert_int_not_equal(actions[i].platforms, 0);
		assert_int_equal(actions[i].internal, strcmp(actions[i].name, "cancel") == 0);
		marked += actions[i].destructive + actions[i].cancellable;
	}
	for (size_t i = 0; i < sizeof(destructive) / sizeof(destructive[0]); i++)
		assert_true(action_find(destructive[i])->destructive);
	for (size_t i = 0; i < sizeof(cancellable) / sizeof(cancellable[0]); i++)
		assert_true(action_find(cancellable[i])->cancellable);
	assert_int_equal(marked, 9);
	assert_int_equal(action_find("restart_service")->platforms, ACTION_LINUX);
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
	assert_true(check("launch_app", "{\"app\":\"com.example.kiosk/.Main$1\"}", &error));
	assert_true(check("restart_service", "{\"service\":\"getty@tty1.service\"}", &error));
	assert_true(check("install_package", "{\"package\":\"g++\"}", &error));
	assert_true(check("wipe", "{\"device\":\"kiosk-7\"}", &error));
	assert_true(check("run", "{\"argv\":[\"/bin/echo\",\"$(id); \\\"x\\\"\",\"\"],\"timeout_s\":3600}", &error));
	assert_true(check("set_config", "{\"config\":{\"interval_s\":30}}", &error));
	assert_true(check("cancel", "{\"command\":\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"}", &error));
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
		{"message", "{\"text\":\"\"}", "string of 1 to 4000 bytes"},
		{"message", "{\"title\":\"x\"}", "needs the parameter \"text\""},
		{"launch_app", "{\"app\":\"--help\"}", "must be a name"},
		{"launch_app", "{\"app\":\"a;reboot\"}", "must be a name"},
		{"launch_app", "{\"app\":\"$(reboot)\"}", "must be a name"},
		{"restart_service", "{\"service\":\"a*\"}", "must be a name"},
		{"restart_service", "{\"service\":\"a b\"}", "must be a name"},
		{"install_package", "{\"package\":\"/tmp/x.deb\"}", "must be a name"},
		{"install_package", "{\"package\":\"./x.deb\"}", "must be a name"},
		{"wipe", "{\"device\":\"Kiosk-7\"}", "must be a device id"},
		{"run", "{\"argv\":\"ls\"}", "array of 1 to 64 strings"},
		{"run", "{\"argv\":[]}", "array of 1 to 64 strings"},
		{"run", "{\"argv\":[\"/bin/ls\",1]}", "element 1"},
		{"set_config", "{\"config\":{}}", "object of 1 to 64 members"},
		{"set_config", "{\"config\":[]}", "object of 1 to 64 members"},
		{"cancel", "{\"command\":\"6ba7b810\"}", "string of 36 to 36 bytes"},
		{"cancel", "{\"command\":\"6ba7b810-9dad-11d1-80b4-00c04fd430cg\"}", "must be a command id"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = {0};

		assert_false(check(cases[i].action, cases[i].params, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
		if (!strstr(error.what, cases[i].says))
			fail_msg("case %zu says \"%s\"", i, error.what);
	}
}

// The schema says what the check does: each bound, each required member.
static void describes_what_it_checks(void **state)
{
	auto_json struct json *items = json_new_array();
	const struct json *item = NULL;
	const struct json *params = NULL;
	const struct json *one = NULL;
	const char *text = NULL;
	int64_t number = 0;

	action_list(items);
	assert_int_equal(json_array_length(items), 19); // all but cancel
	for (size_t i = 0; i < json_array_length(items); i++) {
		const char *name = NULL;

		assert_true(json_member_string(json_array_at(items, i), "action", &name));
		assert_string_not_equal(name, "cancel");
		if (strcmp(name, "run") == 0)
			item = json_array_at(items, i);
	}
	params = json_member(item, "params");
	assert_true(json_member_string(params, "type", &text));
	assert_string_equal(text, "object");
	assert_int_equal(json_array_length(json_member(params, "required")), 1);
	one = json_member(json_member(params, "properties"), "argv");
	assert_true(json_member_int(one, "maxItems", &number) && number == 64);
	one = json_member(json_member(params, "properties"), "timeout_s");
	assert_true(json_member_int(one, "maximum", &number) && number == 3600);
	assert_int_equal(json_array_length(json_member(item, "platforms")), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_actions_of_the_protocol),
		cmocka_unit_test(accepts_what_is_in_range),
		cmocka_unit_test(refuses_and_names_the_fault),
		cmocka_unit_test(describes_what_it_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
