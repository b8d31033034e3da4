#include "dashboard/targets.h"

#include "common/query_pg.h"
#include "common/topic.h"
#include "dashboard/api.h"

#include <string.h>

void targets_refuse(struct dashboard *dashboard, struct http_request *request, const struct error *error)
{
	if (error->kind == ERROR_INVALID || error->kind == ERROR_LIMIT || error->kind == ERROR_NOT_FOUND)
		http_reply_problem(request, 422, error->what);
	else
		api_reply_error(dashboard, request, error);
}

bool targets_compile(struct dashboard *dashboard, struct http_request *request, const char *text, size_t first_param,
		     struct query *out)
{
	const struct query_options options = {first_param, query_pg_resolve, dashboard->pg, false};
	struct error error = {0};

	if (pg_ready(dashboard->pg, &error) && query_compile(text, &options, out, &error))
		return true;
	targets_refuse(dashboard, request, &error);
	return false;
}

void targets_init(struct targets *targets)
{
	buf_init(&targets->query, QUERY_TEXT_MAX + 1);
	buf_init(&targets->devices, TARGETS_LISTED_MAX * (DEVICE_ID_MAX + 1) + 2);
}

void targets_done(struct targets *targets)
{
	buf_done(&targets->query);
	buf_done(&targets->devices);
}

static bool add_device(struct targets *out, const struct json *value, struct error *error)
{
	const char *device = "";

	if (!json_as_string(value, &device) || !topic_is_device_id(device))
		return error_set(error, ERROR_INVALID, "\"%.64s\" is no device id: [a-z0-9][a-z0-9-]{0,62}.", device);
	(void)buf_addf(&out->devices, "%c%s", out->devices.len_bytes == 0 ? '{' : ',', device);
	return true;
}

static bool read_list(const struct json *list, struct targets *out, struct error *error)
{
	size_t count = json_type(list) == JSON_ARRAY ? json_array_length(list) : 0;

	if (count < 1 || count > TARGETS_LISTED_MAX)
		return error_set(error, ERROR_INVALID, "\"devices\" must be an array of 1 to %d device ids.",
				 TARGETS_LISTED_MAX);
	for (size_t i = 0; i < count; i++) {
		if (!add_device(out, json_array_at(list, i), error))
			return false;
	}
	(void)buf_add_str(&out->devices, "}");
	return true;
}

// name:"text"
static bool add_term(struct targets *out, const char *name, const char *text, struct error *error)
{
	(void)buf_addf(&out->query, "%s:\"", name);
	for (const char *p = text; *p; p++)
		(void)buf_addf(&out->query, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
	(void)buf_add_str(&out->query, "\"");
	return (*text && !out->query.overflowed) ||
	       error_set(error, ERROR_INVALID, "\"%s\" of the target must be a text.", name);
}

static bool read_member(const char *name, const struct json *value, struct targets *out, struct error *error)
{
	static const char *const terms[] = {"device", "tag", "group", "filter"};
	const char *text = "";
	bool all = false;

	if (strcmp(name, "devices") == 0)
		return read_list(value, out, error);
	if (strcmp(name, "all") == 0)
		return (json_as_bool(value, &all) && all) ||
		       error_set(error, ERROR_INVALID, "\"all\" of the target can only be true.");
	if (!json_as_string(value, &text) || strlen(text) > QUERY_TEXT_MAX)
		return error_set(error, ERROR_INVALID, "\"%.64s\" of the target must be a text of at most %d bytes.",
				 name, QUERY_TEXT_MAX);
	if (strcmp(name, "query") == 0)
		return (buf_add_str(&out->query, text) && strspn(text, " ") < strlen(text)) ||
		       error_set(error, ERROR_INVALID,
				 "The \"query\" of the target is empty; everything is \"all\": true.");
	for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
		if (strcmp(name, terms[i]) == 0)
			return add_term(out, name, text, error);
	}
	return error_set(error, ERROR_INVALID,
			 "A target has no member \"%.64s\": use device, devices, tag, group, filter, query or all.",
			 name);
}

bool targets_read(const struct json *body, struct targets *out, struct error *error)
{
	const struct json *target = json_member(body, "target");
	size_t count = 0;

	if (target && json_type(target) == JSON_OBJECT) {
		for (struct json_iterator it = json_begin(target); json_next(&it); count++) {
			if (!read_member(it.name, it.value, out, error))
				return false;
		}
	}
	return count == 1 ||
	       error_set(error, ERROR_INVALID,
			 "\"target\" is needed: an object with exactly one of device, devices, tag, group,"
			 " filter, query and all.");
}
