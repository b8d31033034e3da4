#include "common/alert_words.h"

#include <math.h>
#include <string.h>

static const struct alert_metric metrics[] = {
	{"battery_pct", "battery", "%"},
	{"charging", "charging", ""},
	{"cpu_pct", "processor", "%"},
	{"load1", "load", ""},
	{"mem_total", "memory", "B"},
	{"mem_available", "available memory", "B"},
	{"mem_used_pct", "memory used", "%"},
	{"disk_total", "disk", "B"},
	{"disk_free", "free disk", "B"},
	{"disk_used_pct", "disk used", "%"},
	{"uptime_s", "uptime", "s"},
	{"rssi_dbm", "signal", "dBm"},
	{"temperature_c", "temperature",
	 "\xc2\xb0"
	 "C"},
};

const struct alert_metric *alert_metric_find(const char *name)
{
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		if (strcmp(metrics[i].name, name) == 0)
			return &metrics[i];
	}
	return NULL;
}

// ---- values ----

static void add_duration(double seconds, struct buf *out)
{
	static const struct {
		double seconds;
		const char *one, *many;
	} units[] = {{86400, " day", " days"}, {3600, " h", " h"}, {60, " min", " min"}, {1, " s", " s"}};
	const char *gap = "";

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double whole = floor(seconds / units[i].seconds);

		seconds -= whole * units[i].seconds;
		if (whole == 0)
			continue;
		(void)buf_addf(out, "%s%.0f%s", gap, whole, whole == 1 ? units[i].one : units[i].many);
		gap = " ";
	}
	if (!*gap)
		(void)buf_addf(out, "%.15g s", seconds);
}

static void add_bytes(double bytes, struct buf *out)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	size_t unit = 0;

	for (; fabs(bytes) >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		bytes /= 1000;
	(void)buf_addf(out, "%.4g %s", bytes, units[unit]);
}

void alert_words_value(double value, const char *unit, struct buf *out)
{
	if (strcmp(unit, "s") == 0 && value >= 0)
		add_duration(value, out);
	else if (strcmp(unit, "B") == 0)
		add_bytes(value, out);
	else if (strcmp(unit, "d") == 0)
		(void)buf_addf(out, "%.15g %s", value, value == 1 ? "day" : "days");
	else
		(void)buf_addf(out, "%.15g%s%s", value, *unit ? " " : "", unit);
}

// ---- the sentence of a kind ----

static double number_of(const struct json *params, const char *name)
{
	double value = 0;

	(void)json_member_double(params, name, &value);
	return value;
}

static const char *text_of(const struct json *params, const char *name)
{
	const char *text = "";

	(void)json_member_string(params, name, &text);
	return text;
}

// That of a metric's value is the metric's.
static const char *unit_of(const struct alert_kind *kind, const struct json *params, const char *name)
{
	const struct alert_metric *metric = alert_metric_find(text_of(params, "metric"));

	for (size_t i = 0; i < kind->param_count; i++) {
		if (strcmp(kind->params[i].name, name) == 0 && kind->params[i].unit[0])
			return kind->params[i].unit;
	}
	return metric ? metric->unit : "";
}

// Where what was over the threshold counts as back: the margin below "above", or above "below".
static void add_back(const struct alert_kind *kind, const struct json *params, struct buf *out)
{
	bool below = json_member(params, "below") || strcmp(text_of(params, "when"), "below") == 0;
	const char *name = json_member(params, "below") ? "below" : json_member(params, "above") ? "above" : "value";
	double margin = number_of(params, "margin");

	alert_words_value(number_of(params, name) + (below ? margin : -margin), unit_of(kind, params, name), out);
}

// {name}, or {name|one|many} for a number of things.
static void add_param(const struct alert_kind *kind, const struct json *params, const char *text, size_t length,
		      struct buf *out)
{
	const char *bar = memchr(text, '|', length), *second = bar ? strchr(bar + 1, '|') : NULL;
	char name[32];

	(void)snprintf(name, sizeof(name), "%.*s", (int)(bar ? bar - text : (ptrdiff_t)length), text);

	const struct json *value = json_member(params, name);
	double number = number_of(params, name);

	if (strcmp(name, "back") == 0) {
		add_back(kind, params, out);
	} else if (value && json_type(value) == JSON_STRING) {
		const struct alert_metric *metric =
			strcmp(name, "metric") == 0 ? alert_metric_find(text_of(params, name)) : NULL;

		(void)buf_add_str(out, metric ? metric->label : text_of(params, name));
	} else if (bar && second) {
		const char *noun = number == 1 ? bar + 1 : second + 1;

		(void)buf_addf(out, "%.15g %.*s", number, (int)((number == 1 ? second : text + length) - noun), noun);
	} else {
		alert_words_value(number, unit_of(kind, params, name), out);
	}
}

// "name", which must be a number above zero, or "name=text".
static bool holds(const struct json *params, const char *text, size_t length)
{
	const char *is = memchr(text, '=', length);
	char name[32];

	(void)snprintf(name, sizeof(name), "%.*s", (int)(is ? is - text : (ptrdiff_t)length), text);
	if (!is)
		return number_of(params, name) > 0;

	const char *value = text_of(params, name);

	return strlen(value) == length - (size_t)(is + 1 - text) && memcmp(value, is + 1, strlen(value)) == 0;
}

void alert_words(const struct alert_kind *kind, const struct json *params, struct buf *out)
{
	bool shown = true;

	for (const char *at = kind->words; *at; at++) {
		const char *end;

		if (*at == '[' && (end = strchr(at, ':'))) {
			shown = holds(params, at + 1, (size_t)(end - at - 1));
			at = end;
		} else if (*at == ']') {
			shown = true;
		} else if (*at == '{' && (end = strchr(at, '}'))) {
			if (shown)
				add_param(kind, params, at + 1, (size_t)(end - at - 1), out);
			at = end;
		} else if (shown) {
			(void)buf_add(out, at, 1);
		}
	}
}
