#include "broker-conf/control.h"

#include "common/json.h"
#include "common/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The members of each op. One that is not understood might limit what was meant: refuse rather than do more than was
// asked.
static const struct op {
	const char *name;
	enum control_op op;
	const char *members[6];
} ops[] = {
	{"revoke", CONTROL_CHANGE, {"op", "device", "serial", "change"}},
	{"restore", CONTROL_CHANGE, {"op", "device", "serial", "change"}},
	{"kick", CONTROL_KICK, {"op", "device"}},
	{"list", CONTROL_LIST, {"op", "change", "part", "parts", "revoke", "restore"}},
};

static const struct op *find_op(const char *name)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	}
	return NULL;
}

static bool is_member(const struct op *op, const char *name)
{
	for (size_t i = 0; i < sizeof(op->members) / sizeof(op->members[0]) && op->members[i]; i++) {
		if (strcmp(op->members[i], name) == 0)
			return true;
	}
	return false;
}

static bool read_number(const struct json *object, const char *name, int64_t min, int64_t max, int64_t *out,
			struct error *error)
{
	const struct json *value = json_member(object, name);

	if (!value || (json_as_int(value, out) && *out >= min && *out <= max))
		return true;
	return error_set(error, ERROR_INVALID, "%s is not an integer from %lld to %lld", name, (long long)min,
			 (long long)max);
}

static bool read_name(const char *kind, const char *name, struct revocation *out, struct error *error)
{
	if (strcmp(kind, "device") == 0) {
		if (!topic_is_device_id(name))
			return error_set(error, ERROR_INVALID, "device is not a device id");
		out->kind = REVOCATION_DEVICE;
		(void)snprintf(out->name, sizeof(out->name), "%s", name);
		return true;
	}
	if (!revocations_serial(name, out->name))
		return error_set(error, ERROR_INVALID, "serial is not a certificate serial in hex");
	out->kind = REVOCATION_SERIAL;
	return true;
}

static bool read_one(const struct json *object, bool revoked, struct control_request *out, struct error *error)
{
	const char *device = NULL;
	const char *serial = NULL;

	(void)json_member_string(object, "device", &device);
	(void)json_member_string(object, "serial", &serial);
	if (!device == !serial)
		return error_set(error, ERROR_INVALID, "one of device and serial is needed");
	out->changes = calloc(1, sizeof(*out->changes));
	if (!out->changes)
		return error_errno(error, ENOMEM, "cannot hold a revocation");
	out->count = 1;
	out->changes[0].revoked = revoked;
	return read_name(device ? "device" : "serial", device ? device : serial, &out->changes[0], error);
}

// "device kiosk-7" or "serial 00ff", as in the list itself.
static bool read_line(const char *line, struct revocation *out, struct error *error)
{
	if (strncmp(line, "device ", 7) == 0)
		return read_name("device", line + 7, out, error);
	if (strncmp(line, "serial ", 7) == 0)
		return read_name("serial", line + 7, out, error);
	return error_set(error, ERROR_INVALID, "\"%.80s\" is neither \"device <id>\" nor \"serial <hex>\"", line);
}

static bool read_lines(const struct json *array, bool revoked, struct control_request *out, struct error *error)
{
	if (array && json_type(array) != JSON_ARRAY)
		return error_set(error, ERROR_INVALID, "revoke and restore are arrays");
	for (size_t i = 0; i < json_array_length(array); i++) {
		struct revocation *change = &out->changes[out->count++];
		const char *line = NULL;

		change->revoked = revoked;
		if (!json_as_string(json_array_at(array, i), &line))
			return error_set(error, ERROR_INVALID, "revoke and restore hold strings");
		if (!read_line(line, change, error))
			return false;
	}
	return true;
}

static bool read_list(const struct json *object, struct control_request *out, struct error *error)
{
	const struct json *revoke = json_member(object, "revoke");
	const struct json *restore = json_member(object, "restore");
	int64_t part = 0;
	int64_t parts = 0;

	if (!read_number(object, "part", 1, CONTROL_PARTS_MAX, &part, error) ||
	    !read_number(object, "parts", 1, CONTROL_PARTS_MAX, &parts, error))
		return false;
	if (part == 0 || part > parts || !json_member(object, "change"))
		return error_set(error, ERROR_INVALID, "a list needs change, part and parts");
	out->part = (int)part;
	out->parts = (int)parts;
	out->changes = calloc(json_array_length(revoke) + json_array_length(restore) + 1, sizeof(*out->changes));
	if (!out->changes)
		return error_errno(error, ENOMEM, "cannot hold a list of revocations");
	return read_lines(revoke, true, out, error) && read_lines(restore, false, out, error);
}

bool control_parse(const char *payload, size_t len_bytes, struct control_request *out, struct error *error)
{
	auto_json struct json *object = json_parse(payload, len_bytes, error);
	const struct op *op = NULL;
	const char *name = NULL;

	*out = (struct control_request){.change = -1};
	if (!object)
		return false;
	if (json_type(object) != JSON_OBJECT || !json_member_string(object, "op", &name))
		return error_set(error, ERROR_INVALID, "not an object with op");
	op = find_op(name);
	if (!op)
		return error_set(error, ERROR_INVALID, "op is none of revoke, restore, kick and list");
	for (struct json_iterator it = json_begin(object); json_next(&it);) {
		if (!is_member(op, it.name))
			return error_set(error, ERROR_INVALID, "%s does not take %.64s", op->name, it.name);
	}
	out->op = op->op;
	if (!read_number(object, "change", op->op == CONTROL_LIST ? 0 : 1, INT64_MAX, &out->change, error))
		return false;
	return op->op == CONTROL_LIST ? read_list(object, out, error) :
					read_one(object, strcmp(op->name, "revoke") == 0, out, error);
}

void control_done(struct control_request *request)
{
	free(request->changes);
	*request = (struct control_request){0};
}
