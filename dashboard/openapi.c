#include "dashboard/openapi.h"

#include "common/action.h"
#include "common/buf.h"
#include "common/command_request.h"
#include "dashboard/auth.h"
#include "dashboard/openapi_notes.h"
#include "dashboard/openapi_schemas.h"
#include "dashboard/routes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 128
#define METHOD_MAX_BYTES 16
#define WORDS_MAX_BYTES 256

static bool is_described(const struct http_route *route)
{
	return strncmp(route->pattern, "/api/v1/", 8) == 0 || route->tag == ACCESS_SIGNED;
}

static struct json *object_of(const char *name, struct json *value)
{
	struct json *object = json_new_object();

	json_set(object, name, value);
	return object;
}

static struct json *typed(const char *type, const char *description)
{
	struct json *schema = json_new_object();

	json_set_string(schema, "type", type);
	if (description)
		json_set_string(schema, "description", description);
	return schema;
}

static struct json *described(const char *description)
{
	struct json *schema = json_new_object();

	json_set_string(schema, "description", description);
	return schema;
}

static struct json *number(int64_t min, int64_t max, const char *description)
{
	struct json *schema = typed("integer", description);

	json_set_int(schema, "minimum", min);
	json_set_int(schema, "maximum", max);
	return schema;
}

static struct json *reference(const char *name)
{
	char target[NAME_MAX_BYTES];
	struct json *schema = json_new_object();

	(void)snprintf(target, sizeof(target), "#/components/schemas/%s", name);
	json_set_string(schema, "$ref", target);
	return schema;
}

static struct json *content(const char *type, const char *schema)
{
	return object_of(type, object_of("schema", reference(schema)));
}

// ---- paths ----

static void add_security(struct json *operation, int tag)
{
	static const char *const logged_in[] = {"bearer", "session", NULL}, *const by_signature[] = {"signature", NULL};
	struct json *security = json_new_array();

	for (const char *const *name = tag == ACCESS_SIGNED ? by_signature : logged_in; tag != ACCESS_PUBLIC && *name;
	     name++)
		json_append(security, object_of(*name, json_new_array()));
	json_set(operation, "security", security);
}

// In words for people, and as a list for programs.
static void add_roles(struct json *operation, int tag)
{
	static const enum role roles[] = {ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMINISTRATOR, ROLE_AUDITOR};
	struct json *names = json_new_array();
	auto_buf struct buf text = {0};

	buf_init(&text, 256);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (!(tag & (int)roles[i]))
			continue;
		(void)buf_addf(&text, "%s%s", text.len_bytes > 0 ? ", " : "Roles: ", auth_role_name(roles[i]));
		json_append_string(names, auth_role_name(roles[i]));
	}
	json_set(operation, "x-roles", names);
	if (text.len_bytes > 0)
		json_set_string(operation, "description", buf_str(&text));
}

// ---- notes: "name: words|name: words" ----

struct entry {
	char name[NAME_MAX_BYTES], words[WORDS_MAX_BYTES];
};

// False at the end.
static bool next_entry(const char **at, struct entry *out)
{
	if (!*at || !**at)
		return false;
	size_t whole = strcspn(*at, "|"), name = strcspn(*at, ":");
	const char *words = *at + name + 1 + (name + 1 < whole && (*at)[name + 1] == ' ');

	(void)snprintf(out->name, sizeof(out->name), "%.*s", (int)name, *at);
	(void)snprintf(out->words, sizeof(out->words), "%.*s", (int)(*at + whole - words), words);
	*at += whole + ((*at)[whole] == '|');
	return true;
}

static void add_parameter(struct json *parameters, const char *name, const char *in, bool required, const char *words)
{
	struct json *parameter = json_new_object();

	json_set_string(parameter, "name", name);
	json_set_string(parameter, "in", in);
	if (required)
		json_set_bool(parameter, "required", true);
	if (words)
		json_set_string(parameter, "description", words);
	json_set(parameter, "schema", typed("string", NULL));
	json_append(parameters, parameter);
}

// Those in braces, those of the query, and the header that makes a repetition harmless.
static void add_parameters(struct json *operation, const struct http_route *route, const struct openapi_note *note,
			   bool takes_command)
{
	struct json *parameters = json_new_array();
	const char *query = note ? note->query : NULL;
	struct entry entry;

	for (const char *at = strchr(route->pattern, '{'); at; at = strchr(at + 1, '{')) {
		char name[NAME_MAX_BYTES];

		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 1, "}"), at + 1);
		add_parameter(parameters, name, "path", true, NULL);
	}
	while (next_entry(&query, &entry))
		add_parameter(parameters, entry.name, "query", false, entry.words);
	if (takes_command)
		add_parameter(parameters, "Idempotency-Key", "header", false,
			      "the same request with the same key is the same command");
	if (route->tag & ROUTE_KEPT)
		add_parameter(parameters, "If-None-Match", "header", false,
			      "the ETag of an answer that you have: 304 when it has not changed");
	json_set(operation, "parameters", parameters);
}

static void add_body(struct json *operation, const struct openapi_note *note, bool takes_command)
{
	struct json *body, *schema, *properties;
	const char *members = note ? note->body : NULL;
	struct entry entry;

	if (!takes_command && !members)
		return;
	body = json_new_object();
	if (takes_command) {
		json_set_bool(body, "required", true);
		json_set(body, "content", content("application/json", "CommandRequest"));
	} else {
		schema = typed("object", NULL);
		properties = json_new_object();
		while (next_entry(&members, &entry))
			json_set(properties, entry.name, described(entry.words));
		json_set(schema, "properties", properties);
		json_set(body, "content", object_of("application/json", object_of("schema", schema)));
	}
	json_set(operation, "requestBody", body);
}

// ---- errors ----

static const struct shape {
	const char *status, *words;
} shapes[] = {
	{"400", "A parameter is not understood: detail says which, and what it may be"},
	{"401", "Nobody is logged in, or the key is unknown, revoked or expired: log in again"},
	{"403", "Your role may not do this, or another site made the browser send it"},
	{"404", "There is no such thing, or none that you may see"},
	{"413", "The body is too large"},
	{"415", "The body must be sent as application/json"},
	{"422", "The body is not as it must be: detail says which member, and what it may be"},
	{"429", "Too many requests: Retry-After says in how many seconds to try again"},
	{"503", "The database or a queue is away for now: Retry-After, or a moment, and try again"},
	{"default", "Anything else"},
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static bool can_answer(const struct http_route *route, const struct openapi_note *note, const char *status)
{
	bool changes = strcmp(route->method, "GET") != 0, sends = changes && strcmp(route->method, "DELETE") != 0;

	if (strcmp(status, "400") == 0)
		return sends || (note && note->query) || strchr(route->pattern, '{');
	if (strcmp(status, "401") == 0 || strcmp(status, "403") == 0)
		return route->tag != ACCESS_PUBLIC;
	if (strcmp(status, "404") == 0)
		return strchr(route->pattern, '{');
	if (strcmp(status, "413") == 0 || strcmp(status, "415") == 0 || strcmp(status, "422") == 0)
		return sends;
	return true;
}

static struct json *problem_response(const char *words)
{
	struct json *problem = described(words);

	json_set(problem, "content", content("application/problem+json", "Problem"));
	return problem;
}

// ---- good answers ----

static const struct shape good_shapes[] = {
	{"200", "Done"},
	{"201", "Made"},
	{"202", "Taken on"},
	{"204", "Done; no body"},
	{"206", "The part that was asked for"},
};

// Of one status, of which there may be several media types.
static struct json *good_response(const char *answers, const char *status)
{
	struct json *response = NULL, *content = json_new_object();
	struct entry entry;

	for (size_t i = 0; i < sizeof(good_shapes) / sizeof(good_shapes[0]); i++) {
		if (!response && strcmp(good_shapes[i].status, status) == 0)
			response = described(good_shapes[i].words);
	}
	while (next_entry(&answers, &entry)) {
		if (strcmp(entry.name, status) != 0 || !entry.words[0])
			continue;
		if (strchr(entry.words, '/'))
			json_set(content, entry.words, json_new_object());
		else
			json_set(content, "application/json", object_of("schema", openapi_type(entry.words)));
	}
	if (response)
		json_set(response, "content", content);
	else
		json_free(content);
	return response;
}

static void add_lists(struct json *schemas)
{
	for (size_t i = 0; i < openapi_notes_count; i++) {
		const char *answers = openapi_notes[i].answers;
		struct entry entry;

		while (next_entry(&answers, &entry))
			openapi_add_list(schemas, entry.words);
	}
}

static struct json *responses_of(const struct http_route *route, const struct openapi_note *note)
{
	struct json *responses = json_new_object();
	const char *own = note ? note->errors : NULL, *good = note ? note->answers : NULL;
	struct entry entry;

	while (next_entry(&good, &entry)) {
		if (!json_member(responses, entry.name))
			json_set(responses, entry.name, good_response(note->answers, entry.name));
	}
	if (route->tag & ROUTE_KEPT)
		json_set(responses, "304", described("The answer named in If-None-Match still holds: no body"));
	for (size_t i = 0; i < SHAPES; i++) {
		char target[NAME_MAX_BYTES];
		struct json *shape = json_new_object();

		(void)snprintf(target, sizeof(target), "#/components/responses/%s", shapes[i].status);
		json_set_string(shape, "$ref", target);
		if (can_answer(route, note, shapes[i].status))
			json_set(responses, shapes[i].status, shape);
		else
			json_free(shape);
	}
	while (next_entry(&own, &entry))
		json_set(responses, entry.name, problem_response(entry.words));
	return responses;
}

static struct json *shared_responses(void)
{
	struct json *all = json_new_object();

	for (size_t i = 0; i < SHAPES; i++)
		json_set(all, shapes[i].status, problem_response(shapes[i].words));
	return all;
}

// ---- operations ----

// "devices" of /api/v1/devices/{id}: what the route is about.
static void add_tag(struct json *operation, const char *pattern)
{
	const char *word = strncmp(pattern, "/api/v1/", 8) == 0 ? pattern + 8 : pattern + 1;
	struct json *tags = json_new_array();
	char tag[NAME_MAX_BYTES];

	(void)snprintf(tag, sizeof(tag), "%.*s", (int)strcspn(word, "/."), word);
	json_append_string(tags, tag);
	json_set(operation, "tags", tags);
}

static char lower(char c)
{
	return (char)tolower((unsigned char)c);
}

static char upper(char c)
{
	return (char)toupper((unsigned char)c);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static void lower_method(const struct http_route *route, char out[METHOD_MAX_BYTES])
{
	size_t used = 0;

	for (const char *at = route->method; *at && used < METHOD_MAX_BYTES - 1; at++)
		out[used++] = lower(*at);
	out[used] = '\0';
}

// "getApiV1DevicesId" of GET /api/v1/devices/{id}.
static void operation_id(const struct http_route *route, char out[NAME_MAX_BYTES])
{
	size_t used;
	char before = '/';

	lower_method(route, out);
	used = strlen(out);
	for (const char *at = route->pattern; *at && used < NAME_MAX_BYTES - 1; before = *at++) {
		if (is_word(*at) && is_word(before))
			out[used++] = *at;
		else if (is_word(*at))
			out[used++] = upper(*at);
	}
	out[used] = '\0';
}

static struct json *operation_of(const struct http_route *route)
{
	bool takes_command = strcmp(route->method, "POST") == 0 &&
			     (strcmp(route->pattern, "/api/v1/commands") == 0 || route->tag == ACCESS_SIGNED);
	const struct openapi_note *note = openapi_note(route->method, route->pattern);
	struct json *operation = json_new_object();
	char id[NAME_MAX_BYTES];

	operation_id(route, id);
	json_set_string(operation, "operationId", id);
	add_tag(operation, route->pattern);
	json_set_string(operation, "summary", note ? note->summary : route->pattern);
	add_roles(operation, route->tag);
	add_security(operation, route->tag);
	add_parameters(operation, route, note, takes_command);
	add_body(operation, note, takes_command);
	json_set(operation, "responses", responses_of(route, note));
	return operation;
}

// All that can be done at the path of route.
static struct json *path_of(const struct http_route *route)
{
	struct json *item = json_new_object();

	for (size_t i = 0; i < routes_count; i++) {
		char method[METHOD_MAX_BYTES];

		if (strcmp(routes[i].pattern, route->pattern) != 0)
			continue;
		lower_method(&routes[i], method);
		json_set(item, method, operation_of(&routes[i]));
	}
	return item;
}

static struct json *paths(void)
{
	struct json *all = json_new_object();

	for (size_t i = 0; i < routes_count; i++) {
		if (is_described(&routes[i]) && !json_member(all, routes[i].pattern))
			json_set(all, routes[i].pattern, path_of(&routes[i]));
	}
	return all;
}

// ---- schemas ----

static struct json *one_action(const struct action *action)
{
	struct json *schema = described(action->description);
	struct json *properties = json_new_object();
	struct json *required = json_new_array();
	struct json *name = json_new_object();

	json_set_string(name, "const", action->name);
	json_set(properties, "action", name);
	json_set(properties, "params", action_schema(action));
	json_append_string(required, "action");
	if (action->destructive) {
		struct json *meant = json_new_object();

		json_set_bool(meant, "const", true);
		json_set(properties, "confirm", meant);
		json_append_string(required, "confirm");
	}
	json_set(schema, "properties", properties);
	json_set(schema, "required", required);
	return schema;
}

static struct json *command_request(void)
{
	struct json *schema = typed("object", NULL);
	struct json *properties = json_new_object();
	struct json *required = json_new_array();
	struct json *actions = json_new_array();
	size_t count = 0;
	const struct action *table = action_table(&count);

	json_append_string(required, "device");
	json_append_string(required, "action");
	json_set(properties, "device", typed("string", "device id"));
	json_set(properties, "action", typed("string", NULL));
	json_set(properties, "params", typed("object", NULL));
	json_set(properties, "confirm", typed("boolean", "true for a destructive action"));
	json_set(properties, "ttl_s", number(1, COMMAND_TTL_MAX_S, "until it must have begun, from when it may"));
	json_set(properties, "at", described("not before: RFC 3339, or ms since 1970"));
	json_set(properties, "after_s", number(1, COMMAND_BEGIN_MAX_S, "not before, seconds from now"));
	json_set(properties, "in_window", typed("boolean", "only in the device's maintenance window"));
	json_set(properties, "max_attempts", number(1, COMMAND_ATTEMPTS_MAX, "publishes to a silent device"));
	for (size_t i = 0; i < count; i++) {
		if (!table[i].internal)
			json_append(actions, one_action(&table[i]));
	}
	json_set(schema, "properties", properties);
	json_set(schema, "required", required);
	json_set_bool(schema, "unevaluatedProperties", false);
	json_set(schema, "oneOf", actions);
	return schema;
}

static struct json *problem_schema(void)
{
	static const char *const texts[] = {"type", "title", "detail", "request_id"};
	struct json *schema = typed("object", NULL);
	struct json *properties = json_new_object(), *required = json_new_array();

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_set(properties, texts[i], typed("string", NULL));
		json_append_string(required, texts[i]);
	}
	json_append_string(required, "status");
	json_set(properties, "status", number(400, 599, NULL));
	json_set(schema, "properties", properties);
	json_set(schema, "required", required);
	return schema;
}

static struct json *scheme(const char *type, const char *in, const char *name, const char *how)
{
	struct json *one = json_new_object();

	json_set_string(one, "type", type);
	if (in) {
		json_set_string(one, "in", in);
		json_set_string(one, "name", name);
	} else {
		json_set_string(one, "scheme", how);
	}
	return one;
}

struct json *openapi_document(void)
{
	struct json *document = json_new_object();
	struct json *info = json_new_object();
	struct json *components = json_new_object();
	struct json *schemas = json_new_object();
	struct json *schemes = json_new_object();

	json_set_string(document, "openapi", "3.1.0");
	json_set_string(info, "title", "Muster");
	json_set_string(info, "version", MUSTER_VERSION);
	json_set(document, "info", info);
	json_set(document, "paths", paths());
	json_set(schemas, "Problem", problem_schema());
	json_set(schemas, "CommandRequest", command_request());
	openapi_add_schemas(schemas);
	add_lists(schemas);
	json_set(components, "schemas", schemas);
	json_set(components, "responses", shared_responses());
	json_set(schemes, "bearer", scheme("http", NULL, NULL, "bearer"));
	json_set(schemes, "session", scheme("apiKey", "cookie", AUTH_COOKIE, NULL));
	json_set(schemes, "signature", scheme("apiKey", "header", "Muster-Signature", NULL));
	json_set(components, "securitySchemes", schemes);
	json_set(document, "components", components);
	return document;
}

void openapi_get(struct http_request *request, void *user)
{
	http_reply_json(request, 200, openapi_document());
}
