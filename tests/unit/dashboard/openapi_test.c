#include "dashboard/openapi.h"

#include "common/action.h"
#include "dashboard/auth.h"
#include "dashboard/routes.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_route_of_the_api_is_described(void **state)
{
	auto_json struct json *document = openapi_document();
	const struct json *paths = json_member(document, "paths");
	size_t described = 0;

	for (size_t i = 0; i < routes_count; i++) {
		char method[16] = "";

		for (size_t k = 0; routes[i].method[k]; k++)
			method[k] = (char)tolower((unsigned char)routes[i].method[k]);
		const struct json *operation = json_member(json_member(paths, routes[i].pattern), method);

		if (strncmp(routes[i].pattern, "/api/v1/", 8) != 0 && routes[i].tag != ACCESS_SIGNED) {
			assert_null(operation);
			continue;
		}
		assert_non_null(operation);
		assert_int_equal(json_array_length(json_member(operation, "security")) == 0,
				 (routes[i].tag & ~ROUTE_CHANGES_NOTHING) == ACCESS_PUBLIC);
		assert_int_equal(json_array_length(json_member(operation, "parameters")) > 0,
				 strchr(routes[i].pattern, '{') || json_member(operation, "requestBody"));
		described++;
	}
	assert_true(described > 20);
}

static const struct json *schema_of(const struct json *list, const char *action)
{
	for (size_t i = 0; i < json_array_length(list); i++) {
		const struct json *schema = json_array_at(list, i);
		const char *name = "";

		assert_true(
			json_member_string(json_member(json_member(schema, "properties"), "action"), "const", &name));
		if (strcmp(name, action) == 0)
			return schema;
	}
	return NULL;
}

static void every_action_that_can_be_asked_for_has_its_schema(void **state)
{
	auto_json struct json *document = openapi_document();
	const struct json *request =
		json_member(json_member(json_member(document, "components"), "schemas"), "CommandRequest");
	size_t count = 0;
	const struct action *table = action_table(&count);

	for (size_t i = 0; i < count; i++) {
		const struct json *schema = schema_of(json_member(request, "oneOf"), table[i].name);

		assert_int_equal(schema != NULL, !table[i].internal);
		if (!schema)
			continue;
		assert_non_null(json_member(json_member(schema, "properties"), "params"));
		assert_int_equal(json_array_length(json_member(schema, "required")), table[i].destructive ? 2 : 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_of_the_api_is_described),
		cmocka_unit_test(every_action_that_can_be_asked_for_has_its_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
