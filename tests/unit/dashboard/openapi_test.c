#include "dashboard/openapi.h"

#include "common/action.h"
#include "dashboard/auth.h"
#include "dashboard/openapi_notes.h"
#include "dashboard/routes.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool is_described(const struct http_route *route)
{
	return strncmp(route->pattern, "/api/v1/", 8) == 0 || route->tag == ACCESS_SIGNED;
}

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

		if (!is_described(&routes[i])) {
			assert_null(operation);
			continue;
		}
		assert_non_null(operation);
		assert_int_equal(json_array_length(json_member(operation, "security")) == 0,
				 (routes[i].tag & ~ROUTE_CHANGES_NOTHING) == ACCESS_PUBLIC);
		described++;
	}
	assert_true(described > 20);
}

static const struct http_route *find_route(const char *method, const char *pattern)
{
	for (size_t i = 0; i < routes_count; i++) {
		if (strcmp(routes[i].method, method) == 0 && strcmp(routes[i].pattern, pattern) == 0)
			return &routes[i];
	}
	return NULL;
}

static const struct json *operation_of(const struct json *document, const struct http_route *route)
{
	char method[16] = "";

	for (size_t k = 0; route->method[k]; k++)
		method[k] = (char)tolower((unsigned char)route->method[k]);
	return json_member(json_member(json_member(document, "paths"), route->pattern), method);
}

// Whoever adds a route says in dashboard/openapi_notes.c what it is for.
static void every_route_has_its_note_and_every_note_its_route(void **state)
{
	for (size_t i = 0; i < routes_count; i++) {
		if (is_described(&routes[i]) && !openapi_note(routes[i].method, routes[i].pattern))
			fail_msg("dashboard/openapi_notes.c has no row for %s %s", routes[i].method, routes[i].pattern);
	}
	for (size_t i = 0; i < openapi_notes_count; i++) {
		if (!find_route(openapi_notes[i].method, openapi_notes[i].pattern))
			fail_msg("there is no route %s %s", openapi_notes[i].method, openapi_notes[i].pattern);
	}
}

static bool lists(const struct json *names, const char *name)
{
	for (size_t i = 0; i < json_array_length(names); i++) {
		const char *text = "";

		if (json_as_string(json_array_at(names, i), &text) && strcmp(text, name) == 0)
			return true;
	}
	return false;
}

static void the_roles_are_those_of_the_route(void **state)
{
	static const enum role roles[] = {ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMINISTRATOR, ROLE_AUDITOR};
	auto_json struct json *document = openapi_document();

	for (size_t i = 0; i < routes_count; i++) {
		const struct json *operation = operation_of(document, &routes[i]);

		for (size_t k = 0; is_described(&routes[i]) && k < sizeof(roles) / sizeof(roles[0]); k++)
			assert_int_equal(lists(json_member(operation, "x-roles"), auth_role_name(roles[k])),
					 (routes[i].tag & (int)roles[k]) != 0);
	}
}

static bool has_parameter(const struct json *operation, const char *name, const char *in)
{
	const struct json *parameters = json_member(operation, "parameters");

	for (size_t i = 0; i < json_array_length(parameters); i++) {
		const char *its_name = "", *its_in = "";

		if (json_member_string(json_array_at(parameters, i), "name", &its_name) &&
		    json_member_string(json_array_at(parameters, i), "in", &its_in) && strcmp(its_name, name) == 0 &&
		    strcmp(its_in, in) == 0)
			return true;
	}
	return false;
}

static void parameters_are_described(void **state)
{
	auto_json struct json *document = openapi_document();
	const struct json *list = operation_of(document, find_route("GET", "/api/v1/devices"));
	const struct json *targets = operation_of(document, find_route("GET", "/api/v1/campaigns/{id}/targets"));

	assert_true(has_parameter(list, "limit", "query"));
	assert_true(has_parameter(list, "after", "query"));
	assert_true(has_parameter(targets, "id", "path"));
	assert_false(has_parameter(targets, "id", "query"));
	assert_true(has_parameter(operation_of(document, find_route("POST", "/api/v1/commands")), "Idempotency-Key",
				  "header"));
}

// What one response says, wherever it stands: always RFC 9457.
static const struct json *resolve(const struct json *document, const struct json *response)
{
	const char *target = "";

	if (!json_member_string(response, "$ref", &target))
		return response;
	assert_true(strncmp(target, "#/components/responses/", 23) == 0);
	return json_member(json_member(json_member(document, "components"), "responses"), target + 23);
}

static void every_error_is_a_problem(void **state)
{
	auto_json struct json *document = openapi_document();

	for (size_t i = 0; i < routes_count; i++) {
		const struct json *responses = json_member(operation_of(document, &routes[i]), "responses");
		bool sends = strcmp(routes[i].method, "GET") != 0 && strcmp(routes[i].method, "DELETE") != 0;

		if (!is_described(&routes[i]))
			continue;
		for (struct json_iterator it = json_begin(responses); json_next(&it);) {
			const struct json *response = resolve(document, it.value);
			const char *words = "";

			assert_true(json_member_string(response, "description", &words) && words[0]);
			assert_int_equal(json_member(json_member(response, "content"), "application/problem+json") !=
						 NULL,
					 it.name[0] != '2' && strcmp(it.name, "304") != 0);
		}
		assert_int_equal(json_member(responses, "304") != NULL, (routes[i].tag & ROUTE_KEPT) != 0);
		assert_true(strcmp(routes[i].method, "GET") == 0 || !(routes[i].tag & ROUTE_KEPT));
		assert_non_null(json_member(responses, "429"));
		assert_non_null(json_member(responses, "503"));
		assert_int_equal(json_member(responses, "403") != NULL, routes[i].tag != ACCESS_PUBLIC);
		assert_true(json_member(responses, "404") || !strchr(routes[i].pattern, '{'));
		assert_true(json_member(responses, "400") || !strchr(routes[i].pattern, '{'));
		assert_true(json_member(responses, "422") || !sends);
	}
}

// Whatever is referred to is there; the other way round, nothing is there that nobody refers to.
static void check_references(const struct json *json, const struct json *schemas, struct json *met)
{
	static const char before[] = "#/components/schemas/";

	for (struct json_iterator it = json_begin(json); json_type(json) == JSON_OBJECT && json_next(&it);) {
		const char *target = "";

		check_references(it.value, schemas, met);
		if (strcmp(it.name, "$ref") != 0 || !json_as_string(it.value, &target) ||
		    strncmp(target, before, strlen(before)) != 0)
			continue;
		if (!json_member(schemas, target + strlen(before)))
			fail_msg("there is no %s", target);
		json_set_bool(met, target + strlen(before), true);
	}
	for (size_t i = 0; i < json_array_length(json); i++)
		check_references(json_array_at(json, i), schemas, met);
}

static void every_route_says_what_it_answers(void **state)
{
	auto_json struct json *document = openapi_document(), *met = json_new_object();
	const struct json *schemas = json_member(json_member(document, "components"), "schemas");
	const struct json *page = json_member(schemas, "DevicePage");

	for (size_t i = 0; i < routes_count; i++) {
		const struct json *responses = json_member(operation_of(document, &routes[i]), "responses");
		size_t good = 0;

		for (struct json_iterator it = json_begin(responses); is_described(&routes[i]) && json_next(&it);) {
			const struct json *content = json_member(it.value, "content");
			struct json_iterator media = json_begin(content);

			good += it.name[0] == '2';
			assert_true(it.name[0] != '2' || json_next(&media) == (strcmp(it.name, "204") != 0));
		}
		assert_int_equal(is_described(&routes[i]), good > 0);
	}
	check_references(document, schemas, met);
	for (struct json_iterator it = json_begin(schemas); json_next(&it);) {
		if (!json_member(met, it.name))
			fail_msg("nothing refers to the schema %s", it.name);
	}
	assert_int_equal(json_array_length(json_member(page, "required")), 2);
	assert_non_null(json_member(json_member(page, "properties"), "next"));
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
		cmocka_unit_test(every_route_has_its_note_and_every_note_its_route),
		cmocka_unit_test(the_roles_are_those_of_the_route),
		cmocka_unit_test(parameters_are_described),
		cmocka_unit_test(every_error_is_a_problem),
		cmocka_unit_test(every_route_says_what_it_answers),
		cmocka_unit_test(every_action_that_can_be_asked_for_has_its_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
