#include "broker-conf/control.h"

#include "common/json.h"
#include "common/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNTIL_DIGITS_MAX 11 // of seconds since 1970: beyond the year 5000

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
	{"consoles", CONTROL_CONSOLES, {"op", "ended", "complete"}},
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

// "console.<hex> <seconds since 1970>"
static bool read_console(const char *text, struct control_console *out, struct error *error)
{
	size_t id_bytes = strcspn(text, " ");
	const char *until = text + id_bytes;
	char *end = NULL;

	(void)snprintf(out->client_id, sizeof(out->client_id), "%.*s", (int)id_bytes, text);
	if (id_bytes != CONSOLE_CLIENT_BYTES - 1 || !console_is_client_id(out->client_id) || until[0] != ' ' ||
	    until[1] < '0' || until[1] > '9' || strlen(until) > UNTIL_DIGITS_MAX + 1)
		return error_set(error, ERROR_INVALID, "\"%.80s\" is not \"console.<hex> <end>\"", text);
	out->until_s = strtoll(until + 1, &end, 10);
	return *end == '\0' || error_set(error, ERROR_INVALID, "\"%.80s\" has an end that is no number", text);
}

static bool read_consoles(const struct json *object, struct control_request *out, struct error *error)
{
	const struct json *ended = json_member(object, "ended"), *complete = json_member(object, "complete");

	if (complete && !json_as_bool(complete, &out->complete))
		return error_set(error, ERROR_INVALID, "complete must be true or false");
	if (!ended || json_type(ended) != JSON_ARRAY)
		return error_set(error, ERROR_INVALID, "ended must be an array");
	out->ended = calloc(json_array_length(ended) + 1, sizeof(*out->ended));
	if (!out->ended)
		return error_errno(error, ENOMEM, "cannot hold the consoles that have ended");
	for (size_t i = 0; i < json_array_length(ended); i++) {
		const char *text = NULL;

		if (!json_as_string(json_array_at(ended, i), &text))
			return error_set(error, ERROR_INVALID, "ended holds strings");
		if (!read_console(text, &out->ended[out->ended_count++], error))
			return false;
	}
	return true;
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
		return error_set(error, ERROR_INVALID, "op is none of revoke, restore, kick, list and consoles");
	for (struct json_iterator it = json_begin(object); json_next(&it);) {
		if (!is_member(op, it.name))
			return error_set(error, ERROR_INVALID, "%s does not take %.64s", op->name, it.name);
	}
	out->op = op->op;
	if (op->op == CONTROL_CONSOLES)
		return read_consoles(object, out, error);
	if (!read_number(object, "change", op->op == CONTROL_LIST ? 0 : 1, INT64_MAX, &out->change, error))
		return false;
	return op->op == CONTROL_LIST ? read_list(object, out, error) :
					read_one(object, strcmp(op->name, "revoke") == 0, out, error);
}

void control_done(struct control_request *request)
{
	free(request->changes);
	free(request->ended);
	*request = (struct control_request){0};
}
