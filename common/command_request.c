#include "common/command_request.h"

#include "common/action.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TTL_SLACK_MS 60000 // the database's clock and the requester's

bool refusal_set(struct refusal *refusal, const char *what, const char *format, ...)
{
	va_list args;

	(void)snprintf(refusal->what, sizeof(refusal->what), "%s", what);
	va_start(args, format);
	(void)vsnprintf(refusal->detail, sizeof(refusal->detail), format, args);
	va_end(args);
	return false;
}

// ---- the form ----

static const char *const members[] = {"device", "action",  "params",	"ttl_s",       "confirm",
				      "at",	"after_s", "in_window", "max_attempts"};

static bool is_other(const char *name, const char *const *others)
{
	while (*others && strcmp(*others, name) != 0)
		others++;
	return *others != NULL;
}

static bool check_members(const struct json *body, const char *const *others, struct refusal *refusal)
{
	for (struct json_iterator it = json_begin(body); json_next(&it);) {
		size_t i = 0;

		while (i < sizeof(members) / sizeof(members[0]) && strcmp(it.name, members[i]) != 0)
			i++;
		if (i == sizeof(members) / sizeof(members[0]) && !is_other(it.name, others))
			return refusal_set(refusal, "bad request",
					   "there is no member \"%.64s\": device, action, params, ttl_s, confirm, at, "
					   "after_s, in_window and max_attempts are known",
					   it.name);
	}
	return true;
}

// A member's text of 1 to out_bytes - 1 bytes.
static bool take_text(const struct json *body, const char *name, char *out, size_t out_bytes)
{
	const char *text = NULL;

	if (!json_member_string(body, name, &text) || text[0] == '\0' || strlen(text) >= out_bytes)
		return false;
	(void)snprintf(out, out_bytes, "%s", text);
	return true;
}

static bool take_number(const struct json *body, const char *name, int64_t max, int64_t *out, struct refusal *refusal)
{
	return !json_member(body, name) || (json_member_int(body, name, out) && *out >= 1 && *out <= max) ||
	       refusal_set(refusal, "bad request", "\"%s\" must be an integer from 1 to %" PRId64, name, max);
}

static bool take_flag(const struct json *body, const char *name, bool *out, struct refusal *refusal)
{
	return !json_member(body, name) || json_member_bool(body, name, out) ||
	       refusal_set(refusal, "bad request", "\"%s\" must be true or false", name);
}

static bool take_begin(const struct json *body, int64_t now_ms, struct command_request *out, struct refusal *refusal)
{
	const struct json *at = json_member(body, "at");
	const char *text = NULL;
	int64_t after_s = 0;

	if (!take_number(body, "after_s", COMMAND_BEGIN_MAX_S, &after_s, refusal))
		return false;
	if (after_s > 0)
		out->begin_ms = now_ms + after_s * 1000;
	if (!at)
		return true;
	if (after_s > 0)
		return refusal_set(refusal, "bad request", "give \"at\" or \"after_s\", not both");
	if (json_as_string(at, &text) ? !clock_parse_rfc3339(text, strlen(text), &out->begin_ms)
				      : !json_as_int(at, &out->begin_ms))
		return refusal_set(refusal, "bad request",
				   "\"at\" must be a time such as \"2026-01-31T22:00:00+01:00\", or ms since 1970");
	return (out->begin_ms > 0 && out->begin_ms <= now_ms + (int64_t)COMMAND_BEGIN_MAX_S * 1000) ||
	       refusal_set(refusal, "bad request", "\"at\" must be within a year from now");
}

bool command_request_read(const struct json *body, const char *const *others, int64_t now_ms,
			  struct command_request *out, struct refusal *refusal)
{
	const struct json *params = json_member(body, "params");

	*out = (struct command_request){.max_attempts = COMMAND_ATTEMPTS_DEFAULT};
	if (json_type(body) != JSON_OBJECT)
		return refusal_set(refusal, "bad request", "the request is not a JSON object");
	if (!check_members(body, others, refusal))
		return false;
	if (!take_text(body, "device", out->device, sizeof(out->device)))
		return refusal_set(refusal, "bad request", "\"device\" is needed: a device id");
	if (!take_text(body, "action", out->action, sizeof(out->action)))
		return refusal_set(refusal, "bad request", "\"action\" is needed: what the device is to do");
	if (params && json_type(params) != JSON_OBJECT)
		return refusal_set(refusal, "bad request", "\"params\" must be a JSON object, {} when there are none");
	if (!take_flag(body, "in_window", &out->in_window, refusal) ||
	    !take_flag(body, "confirm", &out->confirmed, refusal) || !take_begin(body, now_ms, out, refusal) ||
	    !take_number(body, "max_attempts", COMMAND_ATTEMPTS_MAX, &out->max_attempts, refusal))
		return false;
	out->ttl_s = out->in_window ? COMMAND_WINDOW_TTL_S : COMMAND_TTL_DEFAULT_S;
	if (!take_number(body, "ttl_s", COMMAND_TTL_MAX_S, &out->ttl_s, refusal))
		return false;
	out->params = params ? json_copy(params) : json_new_object();
	return true;
}

void command_request_done(struct command_request *request)
{
	json_free(request->params);
	request->params = NULL;
}

// ---- what is asked ----

static bool check_device(const struct command_demand *demand, struct refusal *refusal)
{
	if (!demand->device_known)
		return refusal_set(refusal, "unknown device",
				   "no device \"%s\" is enrolled; muster device list shows all", demand->device);
	return demand->device_enabled ||
	       refusal_set(refusal, "device disabled", "device \"%s\" is disabled; an administrator can enable it",
			   demand->device);
}

static bool check_action(const struct command_demand *demand, struct refusal *refusal)
{
	const struct action *action = action_find(demand->action);
	struct error error = {0};

	if (!action || (action->internal && !demand->internal))
		return refusal_set(refusal, "unknown action",
				   "there is no action \"%s\"; muster command actions lists them (also ping)",
				   demand->action);
	if (!action_check_params(action, demand->params, &error))
		return refusal_set(refusal, "bad parameters", "%s", error.what);
	if (demand->params && strlen(json_text((struct json *)demand->params)) > COMMAND_PARAMS_MAX_BYTES)
		return refusal_set(refusal, "bad parameters", "params must not be above 32 kB");
	return !action->destructive || demand->confirmed ||
	       refusal_set(refusal, "not confirmed",
			   "%s may cost work or data; if that is meant, add \"confirm\":true to the request (muster "
			   "command send: --yes; SQL: the column confirmed)",
			   action->name);
}

int64_t command_demand_begin_ms(const struct command_demand *demand)
{
	int64_t begin_ms = demand->begin_ms > demand->now_ms ? demand->begin_ms : demand->now_ms;

	return demand->in_window && demand->opens_ms > begin_ms ? demand->opens_ms : begin_ms;
}

static bool check_time(const struct command_demand *demand, struct refusal *refusal)
{
	int64_t begin_ms = command_demand_begin_ms(demand);

	if (demand->in_window && demand->opens_ms == 0)
		return refusal_set(
			refusal, "no maintenance window",
			"device \"%s\" has no maintenance window; muster device set %s --window gives it one",
			demand->device, demand->device);
	if (begin_ms - demand->now_ms > (int64_t)COMMAND_BEGIN_MAX_S * 1000 + TTL_SLACK_MS)
		return refusal_set(refusal, "bad time limit", "a command may wait for its time for at most a year");
	if (begin_ms > demand->now_ms && demand->expires_ms <= begin_ms)
		return refusal_set(refusal, "bad time limit",
				   "its time limit is over before it may begin; give it more time (ttl_s)");
	return demand->expires_ms - begin_ms <= (int64_t)COMMAND_TTL_MAX_S * 1000 + TTL_SLACK_MS ||
	       refusal_set(refusal, "bad time limit", "a command may wait for at most %d days",
			   COMMAND_TTL_MAX_S / 86400);
}

bool command_demand_check(const struct command_demand *demand, struct refusal *refusal)
{
	if (demand->over_limit)
		return refusal_set(
			refusal, "too many requests",
			"as many commands were asked for within a minute as may be (table command_limit); ask "
			"again in a minute");
	return check_device(demand, refusal) && check_action(demand, refusal) && check_time(demand, refusal);
}
