#include "common/action.h"

#include <inttypes.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct action_param set_interval_params[] = {
	{"seconds", JSON_INT, true, 5, 86400, "heartbeat interval in seconds"},
};

static const struct action actions[] = {
	{"ping", NULL, 0, false, "ask the device whether it is there"},
	{"set_interval", set_interval_params, COUNT(set_interval_params), false, "set the heartbeat interval"},
	{"reboot", NULL, 0, true, "restart the device"},
};

const struct action *action_find(const char *name)
{
	for (size_t i = 0; name && i < COUNT(actions); i++) {
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	}
	return NULL;
}

const struct action *action_table(size_t *count)
{
	*count = COUNT(actions);
	return actions;
}

static const struct action_param *find_param(const struct action *action, const char *name)
{
	for (size_t i = 0; i < action->param_count; i++) {
		if (strcmp(action->params[i].name, name) == 0)
			return &action->params[i];
	}
	return NULL;
}

static bool check_value(const struct action_param *param, const struct json *value, struct error *error)
{
	int64_t number = 0;
	const char *text = NULL;
	bool flag = false;

	switch (param->type) {
	case JSON_INT:
		if (json_as_int(value, &number) && number >= param->min && number <= param->max)
			return true;
		return error_set(error, ERROR_INVALID, "\"%s\" must be an integer from %" PRId64 " to %" PRId64,
				 param->name, param->min, param->max);
	case JSON_STRING:
		if (json_as_string(value, &text) && (int64_t)strlen(text) >= param->min &&
		    (int64_t)strlen(text) <= param->max)
			return true;
		return error_set(error, ERROR_INVALID, "\"%s\" must be a string of %" PRId64 " to %" PRId64 " bytes",
				 param->name, param->min, param->max);
	case JSON_BOOL:
		if (json_as_bool(value, &flag))
			return true;
		return error_set(error, ERROR_INVALID, "\"%s\" must be true or false", param->name);
	default:
		return error_set(error, ERROR_FAILED, "the table of actions gives \"%s\" no usable type", param->name);
	}
}

bool action_check_params(const struct action *action, const struct json *params, struct error *error)
{
	if (params && json_type(params) != JSON_OBJECT)
		return error_set(error, ERROR_INVALID, "params must be a JSON object");
	if (params) {
		for (struct json_iterator it = json_begin(params); json_next(&it);) {
			const struct action_param *param = find_param(action, it.name);

			if (!param)
				return error_set(error, ERROR_INVALID, "action %s has no parameter \"%.64s\"",
						 action->name, it.name);
			if (!check_value(param, it.value, error))
				return error_prefix(error, "action %s", action->name);
		}
	}
	for (size_t i = 0; i < action->param_count; i++) {
		const struct action_param *param = &action->params[i];

		if (param->required && !(params && json_member(params, param->name)))
			return error_set(error, ERROR_INVALID, "action %s needs the parameter \"%s\" (%s)",
					 action->name, param->name, param->description);
	}
	return true;
}
