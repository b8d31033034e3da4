#include "common/alert_kind.h"

#include <stdio.h>
#include <string.h>

#define YEAR_S 31536000

static const char *const sides[] = {"above", "below", NULL};
static const char *const goodbyes[] = {"counts", "ignored", NULL};

#define FOR_S(fallback)                                                                                                \
	{                                                                                                              \
		"for_s", "For at least", JSON_INT, 0, YEAR_S, fallback, "s",                                           \
			"for at least so long, as far as it could be seen", NULL                                       \
	}
#define MARGIN(fallback, unit)                                                                                         \
	{                                                                                                              \
		"margin", "Over again when back by", JSON_DOUBLE, 0, 1e12, fallback, unit,                             \
			"so far beyond the threshold it counts as over", NULL                                          \
	}

static const struct alert_param offline[] = {
	FOR_S("1800"),
	{"goodbye", "A device that said goodbye", JSON_STRING, 0, 0, "\"counts\"", "",
	 "whether a device that said goodbye counts", goodbyes},
};
static const struct alert_param metric[] = {
	{"metric", "Metric", JSON_STRING, 1, 64, NULL, "",
	 "its name, as in telemetry; also mem_used_pct and disk_used_pct", NULL},
	{"when", "Which is", JSON_STRING, 0, 0, "\"above\"", "", "on which side of the value", sides},
	{"value", "This value", JSON_DOUBLE, -1e15, 1e15, NULL, "", "the threshold", NULL},
	FOR_S("300"),
	MARGIN("0", ""),
};
static const struct alert_param disk[] = {
	{"above", "Used, more than", JSON_DOUBLE, 0, 100, "90", "%", "used", NULL},
	FOR_S("600"),
	MARGIN("2", "%"),
};
static const struct alert_param battery[] = {
	{"below", "Left, less than", JSON_DOUBLE, 0, 100, "10", "%", "left, while it is not charged", NULL},
	FOR_S("300"),
	MARGIN("5", "%"),
};
static const struct alert_param fingerprint[] = {
	{"count", "At least so many connections", JSON_INT, 1, 1000, "1", "",
	 "connections that said another fingerprint than the bound one", NULL},
};
static const struct alert_param certificate[] = {
	{"days", "Before it ends", JSON_INT, 0, 3650, "14", "d", "left until the device's newest certificate ends",
	 NULL},
};
static const struct alert_param command[] = {
	{"count", "At least so many commands", JSON_INT, 1, 100000, "5", "",
	 "of one device's commands that failed, expired or were rejected", NULL},
	{"window_s", "Within", JSON_INT, 60, 604800, "3600", "s", "within", NULL},
};
static const struct alert_param campaign[] = {
	{"error_pct", "Failed, more than", JSON_DOUBLE, 0, 100, "50", "%",
	 "of its commands that ended failed or were rejected; one that stopped itself counts anyway", NULL},
	{"ended", "Of at least so many that ended", JSON_INT, 1, 1000000, "10", "", "when so many have ended", NULL},
};
static const struct alert_param quarantine[] = {
	{"count", "At least so many messages", JSON_INT, 1, 1000000, "100", "", "messages that could not be stored",
	 NULL},
	{"window_s", "Within", JSON_INT, 60, 604800, "3600", "s", "within", NULL},
};
static const struct alert_param ingest[] = {FOR_S("120")};
static const struct alert_param push[] = {FOR_S("300")};

#define PARAMS(table) table, sizeof(table) / sizeof((table)[0])

static const struct alert_kind kinds[] = {
	{"offline", "Offline", ALERT_DEVICE, false, PARAMS(offline),
	 "the device is offline, or silent for three of its intervals",
	 "offline[for_s: for {for_s}][goodbye=ignored:, unless it said goodbye]"},
	{"metric", "Metric", ALERT_DEVICE, false, PARAMS(metric),
	 "a metric that the device reports is above or below a value",
	 "{metric} {when} {value}[for_s: for {for_s}][margin: (over again at {back})]"},
	{"disk", "Disk", ALERT_DEVICE, false, PARAMS(disk), "the device's disk is almost full",
	 "disk more than {above} full[for_s: for {for_s}][margin: (over again at {back})]"},
	{"battery", "Battery", ALERT_DEVICE, false, PARAMS(battery), "the device's battery is almost empty",
	 "battery below {below} and not charging[for_s: for {for_s}][margin: (over again at {back})]"},
	{"fingerprint", "Fingerprint mismatch", ALERT_DEVICE, true, PARAMS(fingerprint),
	 "another machine uses the device's credential, or its hardware was exchanged",
	 "at least {count|connection|connections} with another fingerprint"},
	{"certificate", "Certificate", ALERT_DEVICE, false, PARAMS(certificate),
	 "the device's certificate ends soon and was not renewed", "certificate not renewed {days} before it ends"},
	{"command", "Commands", ALERT_DEVICE, true, PARAMS(command), "the device's commands fail",
	 "at least {count|command|commands} failed, expired or rejected within {window_s}"},
	{"campaign", "Campaign", ALERT_CAMPAIGN, true, PARAMS(campaign), "a campaign stopped itself, or fails",
	 "stopped itself, or more than {error_pct} failed of at least {ended|command|commands} that ended"},
	{"quarantine", "Quarantine", ALERT_TENANT, true, PARAMS(quarantine), "messages of devices could not be stored",
	 "at least {count|message|messages} not stored within {window_s}"},
	{"ingest", "Ingest", ALERT_INSTALLATION, false, PARAMS(ingest),
	 "nothing is taken in from a cell's broker, or not as fast as it comes",
	 "nothing taken in[for_s: for {for_s}]"},
	{"push", "Pushes", ALERT_INSTALLATION, false, PARAMS(push),
	 "the push service (FCM) is away, and devices that sleep are not woken",
	 "push service away[for_s: for {for_s}]"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const struct alert_kind *alert_kind_find(const char *name)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	return NULL;
}

const struct alert_kind *alert_kind_table(size_t *count)
{
	*count = KINDS;
	return kinds;
}

int alert_severity_rank(const char *severity)
{
	static const char *const ranks[] = {"info", "warning", "critical"};

	for (size_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
		if (strcmp(ranks[i], severity) == 0)
			return (int)i + 1;
	}
	return 0;
}

// ---- checking ----

static bool check_text(const struct alert_param *param, const char *text, struct error *error)
{
	if (param->choices) {
		for (size_t i = 0; param->choices[i]; i++) {
			if (strcmp(param->choices[i], text) == 0)
				return true;
		}
		return error_set(error, ERROR_INVALID, "params.%s must be \"%s\" or \"%s\"", param->name,
				 param->choices[0], param->choices[1]);
	}
	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return error_set(error, ERROR_INVALID, "params.%s has a control character", param->name);
	}
	return (strlen(text) >= (size_t)param->min && strlen(text) <= (size_t)param->max) ||
	       error_set(error, ERROR_INVALID, "params.%s must be a text of %.0f to %.0f bytes", param->name,
			 param->min, param->max);
}

static bool check_value(const struct alert_param *param, const struct json *value, struct error *error)
{
	const char *text = "";
	double number = 0;
	int64_t whole = 0;

	if (param->type == JSON_STRING)
		return json_as_string(value, &text)
			       ? check_text(param, text, error)
			       : error_set(error, ERROR_INVALID, "params.%s must be a text", param->name);
	if (!json_as_double(value, &number) || (param->type == JSON_INT && !json_as_int(value, &whole)) ||
	    number < param->min || number > param->max)
		return error_set(error, ERROR_INVALID, "params.%s must be %s from %.15g to %.15g", param->name,
				 param->type == JSON_INT ? "an integer" : "a number", param->min, param->max);
	return true;
}

static struct json *fallback_of(const struct alert_param *param)
{
	auto_json struct json *parsed = json_parse(param->fallback, strlen(param->fallback), NULL);

	return json_copy(parsed);
}

static const struct alert_param *find_param(const struct alert_kind *kind, const char *name)
{
	for (size_t i = 0; i < kind->param_count; i++) {
		if (strcmp(kind->params[i].name, name) == 0)
			return &kind->params[i];
	}
	return NULL;
}

bool alert_kind_check(const struct alert_kind *kind, const struct json *params, struct json **out, struct error *error)
{
	auto_json struct json *whole = json_new_object();

	if (params && json_type(params) != JSON_OBJECT)
		return error_set(error, ERROR_INVALID, "params must be an object");
	for (struct json_iterator it = json_begin(params); params && json_next(&it);) {
		if (!find_param(kind, it.name))
			return error_set(error, ERROR_INVALID, "%s has no parameter \"%.64s\"", kind->name, it.name);
	}
	for (size_t i = 0; i < kind->param_count; i++) {
		const struct alert_param *param = &kind->params[i];
		const struct json *value = params ? json_member(params, param->name) : NULL;

		if (!value && !param->fallback)
			return error_set(error, ERROR_INVALID, "params.%s is missing: %s", param->name,
					 param->description);
		if (value && !check_value(param, value, error))
			return false;
		json_set(whole, param->name, value ? json_copy(value) : fallback_of(param));
	}
	*out = steal(whole);
	return true;
}

// ---- describing ----

static struct json *describe_param(const struct alert_param *param)
{
	struct json *schema = json_new_object();
	bool text = param->type == JSON_STRING;

	json_set_string(schema, "title", param->label);
	json_set_string(schema, "type", text ? "string" : param->type == JSON_INT ? "integer" : "number");
	if (param->choices) {
		struct json *choices = json_new_array();

		for (size_t i = 0; param->choices[i]; i++)
			json_append_string(choices, param->choices[i]);
		json_set(schema, "enum", choices);
	} else {
		json_set_double(schema, text ? "minLength" : "minimum", param->min);
		json_set_double(schema, text ? "maxLength" : "maximum", param->max);
	}
	if (param->fallback)
		json_set(schema, "default", fallback_of(param));
	if (param->unit[0])
		json_set_string(schema, "x-unit", param->unit);
	json_set_string(schema, "description", param->description);
	return schema;
}

struct json *alert_kind_describe(const struct alert_kind *kind)
{
	static const char *const objects[] = {[ALERT_DEVICE] = "device",
					      [ALERT_CAMPAIGN] = "campaign",
					      [ALERT_TENANT] = "tenant",
					      [ALERT_INSTALLATION] = "installation"};
	struct json *all = json_new_object();
	struct json *schema = json_new_object();
	struct json *properties = json_new_object();
	struct json *required = json_new_array();

	json_set_string(all, "kind", kind->name);
	json_set_string(all, "title", kind->title);
	json_set_string(all, "object", objects[kind->object]);
	json_set_bool(all, "by_hand", kind->by_hand);
	json_set_string(all, "description", kind->description);
	json_set_string(schema, "type", "object");
	for (size_t i = 0; i < kind->param_count; i++) {
		json_set(properties, kind->params[i].name, describe_param(&kind->params[i]));
		if (!kind->params[i].fallback)
			json_append_string(required, kind->params[i].name);
	}
	json_set(schema, "properties", properties);
	json_set(schema, "required", required);
	json_set_bool(schema, "additionalProperties", false);
	json_set(all, "params", schema);
	return all;
}
