#include "common/console.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/topic.h"

#include <stdio.h>
#include <string.h>

#define RANDOM_BYTES ((size_t)16)
#define FLEET "fleet/v1/"

void console_client_id(char out[CONSOLE_CLIENT_BYTES])
{
	uint8_t bytes[RANDOM_BYTES];

	crypto_random(bytes, sizeof(bytes));
	memcpy(out, CONSOLE_CLIENT_PREFIX, sizeof(CONSOLE_CLIENT_PREFIX) - 1);
	crypto_hex(bytes, sizeof(bytes), out + sizeof(CONSOLE_CLIENT_PREFIX) - 1);
}

bool console_is_client_id(const char *text)
{
	const size_t prefix_bytes = sizeof(CONSOLE_CLIENT_PREFIX) - 1;

	return strlen(text) == CONSOLE_CLIENT_BYTES - 1 && strncmp(text, CONSOLE_CLIENT_PREFIX, prefix_bytes) == 0 &&
	       strspn(text + prefix_bytes, "0123456789abcdef") == 2 * RANDOM_BYTES;
}

char *console_sign(const struct jws_signer *signer, const struct console_grant *grant, struct error *error)
{
	struct json *claims auto_json = json_new_object();
	auto_buf struct buf devices;

	buf_init(&devices, CONSOLE_TOKEN_MAX_BYTES);
	for (size_t i = 0; i < grant->count; i++)
		buf_addf(&devices, "%s%s", i == 0 ? "" : " ", grant->devices[i]);
	json_set_string(claims, "sub", grant->user);
	json_set_string(claims, "client_id", grant->client_id);
	json_set_int(claims, "iat", grant->issued_s);
	json_set_int(claims, "exp", grant->expires_s);
	json_set_int(claims, "cell", grant->cell);
	json_set_string(claims, "devices", grant->all ? "*" : buf_str(&devices));

	const char *payload = json_text(claims);

	return jws_sign(signer, CONSOLE_TYP, payload, strlen(payload), error);
}

static bool refuse(struct error *error, const char *what)
{
	return error_set(error, ERROR_DENIED, "the console's credential is refused: %s", what);
}

static bool read_devices(const char *text, struct console_grant *out, struct error *error)
{
	out->all = strcmp(text, "*") == 0;
	while (!out->all && *text) {
		size_t len_bytes = strcspn(text, " ");

		if (out->count == CONSOLE_DEVICES_MAX || len_bytes > DEVICE_ID_MAX)
			return refuse(error, "it names too many devices, or one that is none");
		(void)snprintf(out->devices[out->count], sizeof(out->devices[0]), "%.*s", (int)len_bytes, text);
		if (!topic_is_device_id(out->devices[out->count++]))
			return refuse(error, "it names something that is no device");
		text += len_bytes + (text[len_bytes] == ' ');
	}
	return out->all || out->count > 0 || refuse(error, "it names no device");
}

bool console_read(const char *payload, size_t payload_bytes, struct console_grant *out, struct error *error)
{
	struct json *claims auto_json = json_parse(payload, payload_bytes, error);
	const char *user = NULL, *client_id = NULL, *devices = NULL;

	*out = (struct console_grant){0};
	if (!claims || json_type(claims) != JSON_OBJECT)
		return refuse(error, "its claims are no JSON object");
	if (!json_member_string(claims, "sub", &user) || !json_member_string(claims, "client_id", &client_id) ||
	    !json_member_string(claims, "devices", &devices) || !json_member_int(claims, "iat", &out->issued_s) ||
	    !json_member_int(claims, "exp", &out->expires_s) || !json_member_int(claims, "cell", &out->cell))
		return refuse(error, "sub, client_id, devices, iat, exp or cell is missing");
	if (strlen(user) == 0 || strlen(user) >= sizeof(out->user) || !console_is_client_id(client_id))
		return refuse(error, "sub or client_id has another form");
	memcpy(out->user, user, strlen(user) + 1);
	memcpy(out->client_id, client_id, strlen(client_id) + 1);
	return read_devices(devices, out, error);
}

bool console_verify(const char *token, size_t token_bytes, const struct jws_key *keys, size_t key_count,
		    const char *client_id, int64_t now_s, struct console_grant *out, struct error *error)
{
	struct console_grant grant;
	char *payload auto_free = NULL;
	size_t payload_bytes = 0;

	if (token_bytes > CONSOLE_TOKEN_MAX_BYTES)
		return refuse(error, "it is too large");
	if (!jws_verify(token, token_bytes, CONSOLE_TYP, keys, key_count, &payload, &payload_bytes, error))
		return error_prefix(error, "the console's credential is refused");
	if (!console_read(payload, payload_bytes, &grant, error))
		return false;
	if (!client_id || strcmp(grant.client_id, client_id) != 0)
		return refuse(error, "it is for another client id");
	if (grant.issued_s < 0 || grant.issued_s > now_s + CONSOLE_SKEW_MAX_S)
		return refuse(error, "it is not valid yet; compare the clocks");
	if (grant.expires_s <= now_s)
		return refuse(error, "it has expired");
	if (grant.expires_s > now_s + CONSOLE_LIFETIME_MAX_S + CONSOLE_SKEW_MAX_S ||
	    grant.expires_s > grant.issued_s + CONSOLE_LIFETIME_MAX_S)
		return refuse(error, "it lives too long");
	*out = grant;
	return true;
}

bool console_may_read(const struct console_grant *grant, const char *topic)
{
	struct topic parsed;

	if (strncmp(topic, FLEET, sizeof(FLEET) - 1) != 0 || !topic_parse(topic, strlen(topic), &parsed))
		return false;
	for (size_t i = 0; i < grant->count; i++) {
		if (strcmp(grant->devices[i], parsed.principal) == 0)
			return true;
	}
	return grant->all;
}

bool console_may_subscribe(const char *filter)
{
	return strncmp(filter, FLEET, sizeof(FLEET) - 1) == 0;
}
