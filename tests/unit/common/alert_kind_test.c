#include "common/alert_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool check(const char *kind, const char *text, struct json **out, struct error *error)
{
	auto_json struct json *params = json_parse(text, strlen(text), NULL);

	assert_non_null(params);
	return alert_kind_check(alert_kind_find(kind), params, out, error);
}

static void what_is_left_out_is_filled_in(void **state)
{
	auto_json struct json *out = NULL;
	struct error error = {0};

	assert_true(check("offline", "{\"for_s\":5}", &out, &error));
	assert_string_equal(json_text(out), "{\"for_s\":5,\"goodbye\":\"counts\"}");
	auto_json struct json *all = NULL;

	assert_true(alert_kind_check(alert_kind_find("disk"), NULL, &all, &error));
	assert_string_equal(json_text(all), "{\"above\":90,\"for_s\":600,\"margin\":2}");
}

static void what_cannot_be_is_named(void **state)
{
	static const struct {
		const char *kind, *params, *named;
	} cases[] = {
		{"metric", "{\"value\":1}", "params.metric"},
		{"metric", "{\"metric\":\"x\",\"value\":1e16}", "params.value"},
		{"metric", "{\"metric\":\"x\",\"value\":\"1\"}", "params.value"},
		{"metric", "{\"metric\":\"\",\"value\":1}", "params.metric"},
		{"metric", "{\"metric\":\"x\",\"value\":1,\"when\":\"beside\"}", "params.when"},
		{"metric", "{\"metric\":\"a\\u0007\",\"value\":1}", "params.metric"},
		{"offline", "{\"for_s\":1.5}", "params.for_s"},
		{"offline", "{\"for_s\":-1}", "params.for_s"},
		{"offline", "{\"since\":1}", "since"},
		{"offline", "[]", "params"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json *out = NULL;
		struct error error = {0};

		assert_false(check(cases[i].kind, cases[i].params, &out, &error));
		assert_null(out);
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_non_null(strstr(error.what, cases[i].named));
	}
}

static void every_kind_is_whole(void **state)
{
	size_t count = 0;
	const struct alert_kind *table = alert_kind_table(&count);

	assert_true(count >= 11);
	for (size_t i = 0; i < count; i++) {
		auto_json struct json *described = alert_kind_describe(&table[i]);
		const struct json *params = json_member(json_member(described, "params"), "properties");

		assert_ptr_equal(alert_kind_find(table[i].name), &table[i]);
		for (size_t j = 0; j < table[i].param_count; j++) {
			const char *text = "";
			const struct alert_param *param = &table[i].params[j];

			assert_true(json_member_string(json_member(params, param->name), "description", &text));
			assert_true(strlen(text) > 0);
			assert_true(param->choices || param->max > param->min);
		}
	}
	assert_null(alert_kind_find("weather"));
}

static void severities_have_an_order(void **state)
{
	assert_true(alert_severity_rank("info") < alert_severity_rank("warning"));
	assert_true(alert_severity_rank("warning") < alert_severity_rank("critical"));
	assert_int_equal(alert_severity_rank("fatal"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_out_is_filled_in),
		cmocka_unit_test(what_cannot_be_is_named),
		cmocka_unit_test(every_kind_is_whole),
		cmocka_unit_test(severities_have_an_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
