#include "broker-conf/control.h"

#include "common/json.h"
#include "common/topic.h"

#include <string.h>

static bool known_members_only(const struct json *object)
{
	for (struct json_iterator it = json_begin(object); json_next(&it);) {
		if (strcmp(it.name, "op") != 0 && strcmp(it.name, "device") != 0 && strcmp(it.name, "serial") != 0)
			return false;
	}
	return true;
}

bool control_parse(const char *payload, size_t len_bytes, struct control_request *out, struct error *error)
{
	auto_json struct json *object = json_parse(payload, len_bytes, error);
	struct control_request request = {0};
	const char *op = NULL;
	const char *device = NULL;
	const char *serial = NULL;

	if (!object)
		return false;
	// A member that is not understood might limit what was meant: refuse rather than do more than was asked.
	if (json_type(object) != JSON_OBJECT || !known_members_only(object))
		return error_set(error, ERROR_INVALID, "not an object of op and device or serial");
	if (!json_member_string(object, "op", &op))
		return error_set(error, ERROR_INVALID, "no op");
	if (strcmp(op, "revoke") == 0)
		request.op = CONTROL_REVOKE;
	else if (strcmp(op, "restore") == 0)
		request.op = CONTROL_RESTORE;
	else
		return error_set(error, ERROR_INVALID, "op is neither revoke nor restore");

	(void)json_member_string(object, "device", &device);
	(void)json_member_string(object, "serial", &serial);
	if (!device == !serial)
		return error_set(error, ERROR_INVALID, "one of device and serial is needed");
	if (device) {
		if (!topic_is_device_id(device))
			return error_set(error, ERROR_INVALID, "device is not a device id");
		request.kind = REVOCATION_DEVICE;
		(void)snprintf(request.name, sizeof(request.name), "%s", device);
	} else {
		if (!revocations_serial(serial, request.name))
			return error_set(error, ERROR_INVALID, "serial is not a certificate serial in hex");
		request.kind = REVOCATION_SERIAL;
	}
	*out = request;
	return true;
}
