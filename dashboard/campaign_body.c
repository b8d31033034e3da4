#include "dashboard/campaign_body.h"

#include "common/command_request.h"
#include "common/limits.h"

#include <string.h>

#define RATE_MAX 1000000

void campaign_body_init(struct campaign_body *body)
{
	*body = (struct campaign_body){
		.name = "",
		.ttl_s = COMMAND_TTL_DEFAULT_S,
		.expect = -1,
		.rollout = {.success_pct = 100, .error_pct = 10, .factor = 1},
	};
	targets_init(&body->targets);
}

void campaign_body_done(struct campaign_body *body)
{
	json_free(body->params);
	targets_done(&body->targets);
}

static bool check_members(const struct json *json, const char *const *known, size_t count, struct error *error)
{
	for (struct json_iterator it = json_begin(json); json_next(&it);) {
		size_t i = 0;

		while (i < count && strcmp(it.name, known[i]) != 0)
			i++;
		if (i == count)
			return error_set(error, ERROR_INVALID, "There is no member \"%.64s\".", it.name);
	}
	return true;
}

static bool read_int(const struct json *json, const char *name, int64_t min, int64_t max, int64_t *out,
		     struct error *error)
{
	const struct json *value = json_member(json, name);

	return !value || (json_as_int(value, out) && *out >= min && *out <= max) ||
	       error_set(error, ERROR_INVALID, "\"%s\" must be an integer from %lld to %lld.", name, (long long)min,
			 (long long)max);
}

static bool read_double(const struct json *json, const char *name, double min, double max, double *out,
			struct error *error)
{
	const struct json *value = json_member(json, name);

	return !value || (json_as_double(value, out) && *out >= min && *out <= max) ||
	       error_set(error, ERROR_INVALID, "\"%s\" must be a number from %g to %g.", name, min, max);
}

static bool read_bool(const struct json *json, const char *name, bool *out, struct error *error)
{
	const struct json *value = json_member(json, name);

	return !value || json_as_bool(value, out) ||
	       error_set(error, ERROR_INVALID, "\"%s\" must be true or false.", name);
}

// RFC 3339, or ms since 1970.
static bool read_begin(const struct json *json, int64_t *out, struct error *error)
{
	const struct json *value = json_member(json, "at");
	const char *text = "";

	if (!value)
		return true;
	if (json_as_string(value, &text) ? !clock_parse_rfc3339(text, strlen(text), out) : !json_as_int(value, out))
		return error_set(error, ERROR_INVALID,
				 "\"at\" must be a time, such as 2026-01-31T22:00:00+01:00, or ms since 1970.");
	return (*out > 0 && *out <= clock_wall_ms() + COMMAND_BEGIN_MAX_S * INT64_C(1000)) ||
	       error_set(error, ERROR_INVALID, "\"at\" must be within a year from now.");
}

static bool read_rollout(const struct json *json, struct rollout *out, struct error *error)
{
	static const char *const known[] = {"canary", "success_pct", "error_pct", "rate_per_min", "factor"};
	const struct json *rollout = json_member(json, "rollout");

	if (!rollout)
		return true;
	if (json_type(rollout) != JSON_OBJECT)
		return error_set(error, ERROR_INVALID, "\"rollout\" must be an object.");
	return check_members(rollout, known, sizeof(known) / sizeof(known[0]), error) &&
	       read_int(rollout, "canary", 0, RATE_MAX, &out->canary, error) &&
	       read_double(rollout, "success_pct", 0, 100, &out->success_pct, error) &&
	       read_double(rollout, "error_pct", 0, 100, &out->error_pct, error) &&
	       read_double(rollout, "rate_per_min", 0, RATE_MAX, &out->rate_per_min, error) &&
	       read_double(rollout, "factor", 1, 10, &out->factor, error);
}

static bool read_action(const struct json *json, struct campaign_body *body, struct error *error)
{
	const struct json *params = json_member(json, "params");
	const char *name = "";

	(void)json_member_string(json, "action", &name);
	body->action = action_find(name);
	if (!body->action || body->action->internal)
		return error_set(error, ERROR_INVALID,
				 "There is no action \"%.64s\": muster command actions lists them.", name);
	if (!action_check_params(body->action, params, error))
		return false;
	body->params = params ? json_copy(params) : json_new_object();
	return strlen(json_text(body->params)) <= COMMAND_PARAMS_MAX_BYTES ||
	       error_set(error, ERROR_INVALID, "\"params\" must not be above 32 kB.");
}

bool campaign_body_read(const struct json *json, struct campaign_body *body, struct error *error)
{
	static const char *const known[] = {"name", "action", "params", "ttl_s", "target", "continuous",
					    "rollout", "confirm", "expect", "start", "at", "in_window"};

	if (!check_members(json, known, sizeof(known) / sizeof(known[0]), error) || !read_action(json, body, error) ||
	    !targets_read(json, &body->targets, error) || !read_rollout(json, &body->rollout, error))
		return false;
	if (json_member(json, "name") &&
	    (!json_member_string(json, "name", &body->name) || strlen(body->name) > CAMPAIGN_NAME_MAX))
		return error_set(error, ERROR_INVALID, "\"name\" must be a text of 1 to %d bytes.", CAMPAIGN_NAME_MAX);
	if (!read_begin(json, &body->begin_ms, error) || !read_bool(json, "in_window", &body->in_window, error))
		return false;
	if (body->in_window)
		body->ttl_s = COMMAND_WINDOW_TTL_S;
	return read_int(json, "ttl_s", 1, COMMAND_TTL_MAX_S, &body->ttl_s, error) &&
	       read_int(json, "expect", 0, INT32_MAX, &body->expect, error) &&
	       read_bool(json, "confirm", &body->confirm, error) && read_bool(json, "start", &body->start, error) &&
	       read_bool(json, "continuous", &body->continuous, error);
}

bool campaign_body_check(const struct campaign_body *body, struct error *error)
{
	if (body->name[0] == '\0')
		return error_set(error, ERROR_INVALID, "\"name\" is needed: what people will know the campaign by.");
	if (body->action->destructive && !body->confirm)
		return error_set(error, ERROR_INVALID,
				 "%s interrupts the devices' work: look at the preview, then add \"confirm\": true.",
				 body->action->name);
	return true;
}
