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

static int find_field(const char *name, size_t len_bytes)
{
	for (int i = 0; i < READING_FIELDS; i++)
		if (fields[i].name[0] == name[0] && strncmp(fields[i].name, name, len_bytes) == 0 &&
		    fields[i].name[len_bytes] == '\0')
			return i;
	return -1;
}

static bool take_field(int index, const struct scalar *value, struct arena *arena, struct reading *out)
{
	const struct field *field = &fields[index];
	bool sound = false;
	switch (field->type) {
	case REAL:
		sound = (value->type == SCALAR_REAL || value->type == SCALAR_INTEGER) && value->real >= field->min &&
			value->real <= field->max;
		out->values[index].real = value->real;
		break;
	case INTEGER:
		sound = value->type == SCALAR_INTEGER && value->integer >= 0;
		out->values[index].integer = value->integer;
		break;
	case BOOLEAN:
		sound = value->type == SCALAR_BOOLEAN;
		out->values[index].boolean = value->boolean;
		break;
	case TEXT:
		sound = value->type == SCALAR_TEXT && value->text_bytes <= (size_t)field->max;
		if (sound)
			out->values[index].text = arena_copy(arena, value->text, value->text_bytes);
		break;
	}
	if (sound)
		out->present |= 1U << index;
	return sound;
}

static bool parse_field(int index, const struct json *value, struct arena *arena, struct reading *out,
			struct error *error)
{
	struct scalar scalar = {0};
	bool known = false;
	switch (fields[index].type) {
	case REAL:
		scalar.type = SCALAR_REAL;
		known = json_as_double(value, &scalar.real);
		break;
	case INTEGER:
		scalar.type = SCALAR_INTEGER;
		known = json_as_int(value, &scalar.integer);
		break;
	case BOOLEAN:
		scalar.type = SCALAR_BOOLEAN;
		known = json_as_bool(value, &scalar.boolean);
		break;
	case TEXT:
		scalar.type = SCALAR_TEXT;
		known = json_as_string(value, &scalar.text);
		scalar.text_bytes = known ? strlen(scalar.text) : 0;
		break;
	}
	return (known && take_field(index, &scalar, arena, out)) ||
	       error_set(error, ERROR_INVALID, "%s has the wrong type or is out of range", fields[index].name);
}

bool reading_take(const struct flat_member *member, struct arena *arena, struct reading *out)
{
	int field = find_field(member->name, member->name_bytes);
	return field >= 0 && !(out->present & 1U << field) && take_field(field, &member->value, arena, out);
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
		int field = find_field(it.name, strlen(it.name));
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
