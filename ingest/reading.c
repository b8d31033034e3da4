#include "ingest/reading.h"

#include "common/limits.h"
#include "ingest/message.h"

#include <float.h>
#include <string.h>

#define NETWORK_TYPE_MAX 32
#define CUSTOM_STRING_MAX 1024
#define CUSTOM_JSON_MAX 4096

enum type { REAL, INTEGER, BOOLEAN, TEXT };

// In the order of READING_COLUMNS; ranges from docs/protocol.md, section 4. Reals are stored in single precision.
static const struct field {
	const char *name;
	enum type type;
	double min, max;
} fields[READING_FIELDS] = {
	{"battery_pct", REAL, 0, 100},
	{"charging", BOOLEAN, 0, 0},
	{"cpu_pct", REAL, 0, 100},
	{"load1", REAL, 0, FLT_MAX},
	{"mem_total", INTEGER, 0, 0},
	{"mem_available", INTEGER, 0, 0},
	{"disk_total", INTEGER, 0, 0},
	{"disk_free", INTEGER, 0, 0},
	{"uptime_s", INTEGER, 0, 0},
	{"network_type", TEXT, 0, NETWORK_TYPE_MAX},
	{"rssi_dbm", REAL, -200, 50},
	{"temperature_c", REAL, -273.15, 1000},
};

static int find_field(const char *name)
{
	for (int i = 0; i < READING_FIELDS; i++)
		if (fields[i].name[0] == name[0] && strcmp(fields[i].name, name) == 0)
			return i;
	return -1;
}

static bool parse_field(int index, const struct json *value, struct arena *arena, struct reading *out,
			struct error *error)
{
	const struct field *field = &fields[index];
	bool sound = false;
	const char *text;
	switch (field->type) {
	case REAL: {
		double *real = &out->values[index].real;
		sound = json_as_double(value, real) && *real >= field->min && *real <= field->max;
		break;
	}
	case INTEGER: {
		int64_t *integer = &out->values[index].integer;
		sound = json_as_int(value, integer) && *integer >= 0;
		break;
	}
	case BOOLEAN:
		sound = json_as_bool(value, &out->values[index].boolean);
		break;
	case TEXT:
		sound = json_as_string(value, &text) && strlen(text) <= (size_t)field->max;
		if (sound)
			out->values[index].text = arena_string(arena, text);
		break;
	}
	if (!sound)
		return error_set(error, ERROR_INVALID, "%s has the wrong type or is out of range", field->name);
	out->present |= 1U << index;
	return true;
}

static bool check_custom(const char *name, const struct json *value, struct json *copy, struct error *error)
{
	size_t name_bytes = strlen(name);
	const char *text;
	if (name_bytes < 1 || name_bytes > METRIC_NAME_MAX)
		return error_set(error, ERROR_INVALID, "a metric's name has no or more than %d bytes", METRIC_NAME_MAX);
	switch (json_type(value)) {
	case JSON_STRING:
		if (json_as_string(value, &text) && strlen(text) > CUSTOM_STRING_MAX)
			return error_set(error, ERROR_INVALID, "metric %s is a string of more than %d bytes", name,
					 CUSTOM_STRING_MAX);
		return true;
	case JSON_ARRAY:
	case JSON_OBJECT:
		if (strlen(json_text(copy)) > CUSTOM_JSON_MAX)
			return error_set(error, ERROR_INVALID, "metric %s is JSON of more than %d bytes", name,
					 CUSTOM_JSON_MAX);
		return true;
	default:
		return true;
	}
}

static bool add_custom(const char *name, const struct json *value, struct json **custom, struct error *error)
{
	struct json *copy auto_json = json_copy(value);
	if (!check_custom(name, value, copy, error))
		return false;
	if (!*custom)
		*custom = json_new_object();
	json_set(*custom, name, steal(copy));
	return true;
}

bool reading_parse(const struct json *object, struct arena *arena, struct reading *out, struct error *error)
{
	struct json *custom auto_json = NULL;
	size_t members = 0;
	for (struct json_iterator it = json_begin(object); json_next(&it);) {
		if (++members > METRICS_PER_READING_MAX)
			return error_set(error, ERROR_INVALID, "more than %d members", METRICS_PER_READING_MAX);
		if (stamp_is_member(it.name))
			continue;
		int field = find_field(it.name);
		bool ok = field >= 0 ? parse_field(field, it.value, arena, out, error)
				     : add_custom(it.name, it.value, &custom, error);
		if (!ok)
			return false;
	}
	if (custom)
		out->custom = arena_string(arena, json_text(custom));
	return true;
}

void reading_merge(struct reading *into, const struct reading *newer)
{
	for (int i = 0; i < READING_FIELDS; i++)
		if (newer->present & 1U << i)
			into->values[i] = newer->values[i];
	into->present |= newer->present;
	if (newer->custom)
		into->custom = newer->custom;
}

void reading_write(struct copy *copy, const struct reading *reading)
{
	for (int i = 0; i < READING_FIELDS; i++) {
		if (!(reading->present & 1U << i)) {
			copy_null(copy);
			continue;
		}
		switch (fields[i].type) {
		case REAL:
			copy_real(copy, (float)reading->values[i].real);
			break;
		case INTEGER:
			copy_int8(copy, reading->values[i].integer);
			break;
		case BOOLEAN:
			copy_bool(copy, reading->values[i].boolean);
			break;
		case TEXT:
			copy_text(copy, reading->values[i].text);
			break;
		}
	}
	copy_json(copy, reading->custom);
}
