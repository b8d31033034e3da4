#include "common/action.h"

#include "common/limits.h"

#include <inttypes.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REQUIRED_MAX 8 // parameters of one action
#define PARAMS(array) array, COUNT(array)

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

// ---- the table ----

static const struct {
	const char *first, *rest; // characters
	const char *pattern;      // the same as a regular expression (ECMA-262)
	const char *says;
} forms[] = {
	[ACTION_ANY] = {NULL, NULL, NULL, NULL},
	[ACTION_NAME] = {LOWER UPPER DIGITS "_", LOWER UPPER DIGITS "_.:@/+$-",
			 "^[A-Za-z0-9_][A-Za-z0-9_.:@/+$-]*$",
			 "a name: letters, digits and _ . : @ / + $ -, beginning with a letter, a digit or _"},
	[ACTION_DEVICE] = {LOWER DIGITS, LOWER DIGITS "-", "^[a-z0-9][a-z0-9-]*$", "a device id"},
	[ACTION_COMMAND] = {DIGITS "abcdefABCDEF", DIGITS "abcdefABCDEF-", "^[0-9a-fA-F][0-9a-fA-F-]*$",
			    "a command id"},
};

#define NAME_OF(name, description) {name, JSON_STRING, true, 1, 255, description, NULL, ACTION_NAME}

static const struct action_param message_params[] = {
	{"text", JSON_STRING, true, 1, 4000, "what the people at the device are to read", NULL, ACTION_ANY},
	{"title", JSON_STRING, false, 1, 200, "its heading", NULL, ACTION_ANY},
};
static const struct action_param ring_params[] = {
	{"seconds", JSON_INT, true, 1, 300, "how long it makes itself heard", NULL, ACTION_ANY},
};
static const struct action_param wipe_params[] = {
	{"device", JSON_STRING, true, 1, DEVICE_ID_MAX, "the device's own id, so that no other is wiped by mistake",
	 NULL, ACTION_DEVICE},
};
static const struct action_param service_params[] = {NAME_OF("service", "name of the service")};
static const struct action_param app_params[] = {
	NAME_OF("app", "Android: package, or package/activity; Linux: the service that is the app"),
};
static const struct action_param package_params[] = {NAME_OF("package", "name of the package")};
static const struct action_param run_params[] = {
	{"argv", JSON_ARRAY, true, 1, 64, "program (its full path) and its arguments; no shell reads them", NULL,
	 ACTION_ANY},
	{"timeout_s", JSON_INT, false, 1, 3600, "seconds after which it is ended; 60 when left out", NULL, ACTION_ANY},
};
static const struct action_param set_config_params[] = {
	{"config", JSON_OBJECT, true, 1, 64, "options of the agent that may be set, by name", NULL, ACTION_ANY},
};
static const struct action_param set_interval_params[] = {
	{"seconds", JSON_INT, true, 5, 86400, "heartbeat interval in seconds", NULL, ACTION_ANY},
};
static const struct action_param collect_logs_params[] = {
	{"lines", JSON_INT, false, 1, 10000, "how many of the newest lines; 500 when left out", NULL, ACTION_ANY},
};
static const struct action_param cancel_params[] = {
	{"command", JSON_STRING, true, COMMAND_ID_BYTES - 1, COMMAND_ID_BYTES - 1, "id of the command to end", NULL,
	 ACTION_COMMAND},
};

#define DESTRUCTIVE .destructive = true
#define CANCELLABLE .cancellable = true
#define INTERNAL .internal = true

static const struct action actions[] = {
	{"ping", NULL, 0, ACTION_EVERYWHERE, 60, .description = "ask the device whether it is there"},
	{"message", PARAMS(message_params), ACTION_EVERYWHERE, 60,
	 .description = "show a text to the people at the device"},
	{"reboot", NULL, 0, ACTION_EVERYWHERE, 900, DESTRUCTIVE, .description = "restart the device"},
	{"shutdown", NULL, 0, ACTION_EVERYWHERE, 900, DESTRUCTIVE,
	 .description = "switch the device off: somebody must go there to switch it on"},
	{"lock", NULL, 0, ACTION_EVERYWHERE, 60, .description = "lock the screen"},
	{"ring", PARAMS(ring_params), ACTION_EVERYWHERE, 420, CANCELLABLE,
	 .description = "make the device heard, to find it"},
	{"locate", NULL, 0, ACTION_EVERYWHERE, 120, .description = "say where the device is, as far as it knows"},
	{"wipe", PARAMS(wipe_params), ACTION_EVERYWHERE, 3600, DESTRUCTIVE,
	 .description = "bring the device back to how it left the factory; all that is on it is lost"},
	{"restart_service", PARAMS(service_params), ACTION_LINUX, 300, .description = "restart a service"},
	{"launch_app", PARAMS(app_params), ACTION_EVERYWHERE, 120, .description = "start an app"},
	{"stop_app", PARAMS(app_params), ACTION_EVERYWHERE, 120, .description = "stop an app"},
	{"restart_app", PARAMS(app_params), ACTION_EVERYWHERE, 240, .description = "stop an app and start it again"},
	{"install_package", PARAMS(package_params), ACTION_EVERYWHERE, 1800,
	 .description = "install a package that the device can find by its name"},
	{"uninstall_package", PARAMS(package_params), ACTION_EVERYWHERE, 1800, DESTRUCTIVE,
	 .description = "take a package away"},
	{"run", PARAMS(run_params), ACTION_EVERYWHERE, 3900, DESTRUCTIVE, CANCELLABLE,
	 .description = "run a program and bring what it prints"},
	{"set_config", PARAMS(set_config_params), ACTION_EVERYWHERE, 60,
	 .description = "change options of the agent"},
	{"set_interval", PARAMS(set_interval_params), ACTION_EVERYWHERE, 60,
	 .description = "set the heartbeat interval"},
	{"collect_logs", PARAMS(collect_logs_params), ACTION_EVERYWHERE, 180, CANCELLABLE,
	 .description = "bring the newest lines of the system's log"},
	{"unenroll", NULL, 0, ACTION_EVERYWHERE, 60, DESTRUCTIVE,
	 .description = "make the device leave the fleet: it forgets its key and must be enrolled to come back"},
	{"cancel", PARAMS(cancel_params), ACTION_EVERYWHERE, 60, INTERNAL, .description = "end a running command"},
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

// ---- checking ----

static const struct action_param *find_param(const struct action *action, const char *name)
{
	for (size_t i = 0; i < action->param_count; i++) {
		if (strcmp(action->params[i].name, name) == 0)
			return &action->params[i];
	}
	return NULL;
}

static bool check_int(const struct action_param *param, const struct json *value, struct error *error)
{
	int64_t number = 0;

	if (json_as_int(value, &number) && number >= param->min && number <= param->max)
		return true;
	return error_set(error, ERROR_INVALID, "\"%s\" must be an integer from %" PRId64 " to %" PRId64, param->name,
			 param->min, param->max);
}

static bool check_choice(const struct action_param *param, const char *text, struct error *error)
{
	auto_buf struct buf names = {0};

	buf_init(&names, sizeof(error->what) / 2);
	for (size_t i = 0; param->choices[i]; i++) {
		if (strcmp(param->choices[i], text) == 0)
			return true;
		(void)buf_addf(&names, "%s%s", i > 0 ? ", " : "", param->choices[i]);
	}
	return error_set(error, ERROR_INVALID, "\"%s\" must be one of: %s", param->name, buf_str(&names));
}

static bool check_string(const struct action_param *param, const struct json *value, struct error *error)
{
	const char *text = NULL;

	if (!json_as_string(value, &text) || (int64_t)strlen(text) < param->min || (int64_t)strlen(text) > param->max)
		return error_set(error, ERROR_INVALID, "\"%s\" must be a string of %" PRId64 " to %" PRId64 " bytes",
				 param->name, param->min, param->max);
	if (forms[param->form].first &&
	    (!*text || !strchr(forms[param->form].first, *text) || text[strspn(text, forms[param->form].rest)]))
		return error_set(error, ERROR_INVALID, "\"%s\" must be %s", param->name, forms[param->form].says);
	return !param->choices || check_choice(param, text, error);
}

static bool check_strings(const struct action_param *param, const struct json *value, struct error *error)
{
	size_t count = json_array_length(value);

	if (json_type(value) != JSON_ARRAY || (int64_t)count < param->min || (int64_t)count > param->max)
		return error_set(error, ERROR_INVALID,
				 "\"%s\" must be an array of %" PRId64 " to %" PRId64 " strings", param->name,
				 param->min, param->max);
	for (size_t i = 0; i < count; i++) {
		const char *text = NULL;

		if (!json_as_string(json_array_at(value, i), &text) || strlen(text) > ACTION_ELEMENT_MAX_BYTES)
			return error_set(error, ERROR_INVALID,
					 "element %zu of \"%s\" must be a string of up to %d bytes", i, param->name,
					 ACTION_ELEMENT_MAX_BYTES);
	}
	return true;
}

static bool check_object(const struct action_param *param, const struct json *value, struct error *error)
{
	int64_t count = 0;

	if (json_type(value) == JSON_OBJECT) {
		for (struct json_iterator it = json_begin(value); json_next(&it);)
			count++;
		if (count >= param->min && count <= param->max)
			return true;
	}
	return error_set(error, ERROR_INVALID, "\"%s\" must be an object of %" PRId64 " to %" PRId64 " members",
			 param->name, param->min, param->max);
}

static bool check_value(const struct action_param *param, const struct json *value, struct error *error)
{
	bool flag = false;

	switch (param->type) {
	case JSON_INT:
		return check_int(param, value, error);
	case JSON_STRING:
		return check_string(param, value, error);
	case JSON_ARRAY:
		return check_strings(param, value, error);
	case JSON_OBJECT:
		return check_object(param, value, error);
	case JSON_BOOL:
		return json_as_bool(value, &flag) ||
		       error_set(error, ERROR_INVALID, "\"%s\" must be true or false", param->name);
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

// ---- describing ----

static struct json *strings(const char *const *texts)
{
	struct json *array = json_new_array();

	for (; *texts; texts++)
		json_append_string(array, *texts);
	return array;
}

static struct json *param_schema(const struct action_param *param)
{
	static const struct {
		const char *type, *min, *max;
	} words[] = {
		[JSON_INT] = {"integer", "minimum", "maximum"},
		[JSON_STRING] = {"string", "minLength", "maxLength"},
		[JSON_BOOL] = {"boolean", NULL, NULL},
		[JSON_OBJECT] = {"object", "minProperties", "maxProperties"},
		[JSON_ARRAY] = {"array", "minItems", "maxItems"},
	};
	struct json *schema = json_new_object();

	json_set_string(schema, "type", words[param->type].type);
	json_set_string(schema, "description", param->description);
	if (words[param->type].min) {
		json_set_int(schema, words[param->type].min, param->min);
		json_set_int(schema, words[param->type].max, param->max);
	}
	if (forms[param->form].pattern)
		json_set_string(schema, "pattern", forms[param->form].pattern);
	if (param->choices)
		json_set(schema, "enum", strings(param->choices));
	if (param->type == JSON_ARRAY) {
		struct json *items = json_new_object();

		json_set_string(items, "type", "string");
		json_set_int(items, "maxLength", ACTION_ELEMENT_MAX_BYTES);
		json_set(schema, "items", items);
	}
	return schema;
}

struct json *action_schema(const struct action *action)
{
	struct json *schema = json_new_object();
	struct json *properties = json_new_object();
	const char *required[REQUIRED_MAX + 1] = {NULL};
	size_t count = 0;

	for (size_t i = 0; i < action->param_count; i++) {
		json_set(properties, action->params[i].name, param_schema(&action->params[i]));
		if (action->params[i].required && count < COUNT(required) - 1)
			required[count++] = action->params[i].name;
	}
	json_set_string(schema, "type", "object");
	json_set(schema, "properties", properties);
	json_set(schema, "required", strings(required));
	json_set_bool(schema, "additionalProperties", false);
	return schema;
}

static struct json *describe(const struct action *action)
{
	struct json *out = json_new_object();
	const char *platforms[3] = {NULL};
	size_t count = 0;

	if (action->platforms & ACTION_LINUX)
		platforms[count++] = "linux";
	if (action->platforms & ACTION_ANDROID)
		platforms[count++] = "android";
	json_set_string(out, "action", action->name);
	json_set_string(out, "description", action->description);
	json_set_bool(out, "destructive", action->destructive);
	json_set_bool(out, "cancellable", action->cancellable);
	json_set(out, "platforms", strings(platforms));
	json_set_int(out, "timeout_s", action->timeout_s);
	json_set(out, "params", action_schema(action));
	return out;
}

void action_list(struct json *items)
{
	for (size_t i = 0; i < COUNT(actions); i++) {
		if (!actions[i].internal)
			json_append(items, describe(&actions[i]));
	}
}
