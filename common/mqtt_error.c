#include "common/mqtt_error.h"

#include <errno.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>

static enum error_kind kind_of(int code)
{
	switch (code) {
	case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
	case MQTT_RC_NOT_AUTHORIZED:
	case MQTT_RC_BANNED:
	case MQTT_RC_CLIENTID_NOT_VALID:
		return ERROR_DENIED;
	case MOSQ_ERR_INVAL:
	case MOSQ_ERR_MALFORMED_UTF8:
	case MOSQ_ERR_MALFORMED_PACKET:
		return ERROR_INVALID;
	case MOSQ_ERR_PAYLOAD_SIZE:
	case MOSQ_ERR_OVERSIZE_PACKET:
		return ERROR_LIMIT;
	case MOSQ_ERR_KEEPALIVE:
		return ERROR_TIMEOUT;
	case MOSQ_ERR_NOMEM:
		return ERROR_FAILED;
	default:
		return ERROR_UNREACHABLE;
	}
}

bool mqtt_describe(struct error *error, int code, int saved_errno, const char *detail, const char *doing)
{
	if (code == MOSQ_ERR_ERRNO && saved_errno != 0 && saved_errno != EPROTO)
		return error_errno(error, saved_errno, "%s", doing);
	if (code == MOSQ_ERR_EAI)
		return error_set(error, ERROR_UNREACHABLE, "%s: the name does not resolve", doing);
	const char *text = code >= 0x80 ? mosquitto_reason_string(code) : mosquitto_strerror(code);
	error_set(error, kind_of(code), "%s: %s%s%s", doing, text, detail[0] ? ": " : "", detail);
	if (error)
		error->code = code;
	return false;
}
