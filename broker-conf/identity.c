#include "broker-conf/identity.h"

#include "common/console.h"
#include "common/topic.h"

#include <string.h>

#define CONTROLLER "svc.commander"

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum identity_kind identity_kind_of(const char *name, size_t len_bytes)
{
	if (len_bytes == 0 || len_bytes >= PRINCIPAL_MAX || memchr(name, '\0', len_bytes) || name[len_bytes] != '\0')
		return IDENTITY_NONE;
	if (topic_is_device_id(name))
		return IDENTITY_DEVICE;
	if (topic_is_service(name))
		return IDENTITY_SERVICE;
	if (topic_is_operator(name))
		return IDENTITY_OPERATOR;
	return IDENTITY_NONE;
}

// "<name>" or "<name>.<suffix>": a dot ends the name, so that svc.ingest2 is not taken for a session of svc.ingest.
static bool is_name_or_dotted(const char *client_id, const char *name)
{
	size_t len_bytes = strlen(name);

	return strncmp(client_id, name, len_bytes) == 0 &&
	       (client_id[len_bytes] == '\0' || client_id[len_bytes] == '.');
}

static bool client_id_fits(enum identity_kind kind, const char *client_id, const char *name)
{
	switch (kind) {
	case IDENTITY_DEVICE:
		return strcmp(client_id, name) == 0;
	case IDENTITY_SERVICE:
		return is_name_or_dotted(client_id, name);
	case IDENTITY_OPERATOR:
		if (begins_with(client_id, "op."))
			return is_name_or_dotted(client_id, name);
		return client_id[0] != '\0' && !begins_with(client_id, "svc.") &&
		       !begins_with(client_id, CONSOLE_CLIENT_PREFIX) && !topic_is_device_id(client_id);
	case IDENTITY_NONE:
		break;
	}
	return false;
}

bool identity_check(const struct identity_login *login, char user[PRINCIPAL_MAX], struct error *error)
{
	enum identity_kind kind = identity_kind_of(login->name, login->name_bytes);
	enum identity_issuer wanted = kind == IDENTITY_DEVICE ? ISSUER_DEVICE_CA : ISSUER_SERVICE_CA;

	if (kind == IDENTITY_NONE)
		return error_set(error, ERROR_DENIED, "the certificate's CN names no device, service or operator");
	if (login->issuer != wanted)
		return error_set(error, ERROR_DENIED, "the certificate of %s is not from the %s CA", login->name,
				 kind == IDENTITY_DEVICE ? "device" : "service");
	if (!login->client_id || !client_id_fits(kind, login->client_id, login->name))
		return error_set(error, ERROR_DENIED, "%s may not use this client id", login->name);
	memcpy(user, login->name, login->name_bytes + 1);
	return true;
}

bool identity_may_touch(const char *user, const char *topic)
{
	switch (user ? identity_kind_of(user, strlen(user)) : IDENTITY_NONE) {
	case IDENTITY_DEVICE:
		return begins_with(topic, "fleet/v1/");
	case IDENTITY_OPERATOR:
		return begins_with(topic, "ops/v1/");
	case IDENTITY_SERVICE:
		return true; // one by one in the ACL file
	case IDENTITY_NONE:
		break;
	}
	return false;
}

bool identity_may_control(const char *user)
{
	return user && strcmp(user, CONTROLLER) == 0;
}
