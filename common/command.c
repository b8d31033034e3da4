#include "common/command.h"

#include "common/crypto.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A UUID in text form, or whatever identifier of that length the signer's own system uses.
static bool is_command_id(const char *text)
{
	size_t len = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
	return len > 0 && len < COMMAND_ID_BYTES && text[len] == '\0';
}

static bool is_action(const char *text)
{
	size_t len = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz._-");
	return len > 0 && len < sizeof(((struct command *)NULL)->action) && text[len] == '\0';
}

static bool refuse(struct error *error, const char *why)
{
	return error_set(error, ERROR_INVALID, "the command is refused: %s", why);
}

static bool params_ok(const struct json *params)
{
	if (json_type(params) != JSON_OBJECT)
		return false;
	return strlen(json_text((struct json *)params)) <= COMMAND_PARAMS_MAX_BYTES;
}

// The claims that both sides hold each other to.
static bool check_claims(const struct command *command, struct error *error)
{
	if (!is_command_id(command->id))
		return refuse(error, "jti is not an identifier");
	if (!topic_is_device_id(command->device))
		return refuse(error, "sub is not a device id");
	if (command->issued_s < 0 || command->expires_s <= command->issued_s)
		return refuse(error, "iat and exp are no period of time");
	if (command->counter < 1)
		return refuse(error, "n is not a counter");
	if (!is_action(command->action))
		return refuse(error, "action is not a name");
	return true;
}

static bool copy_claim(const struct json *claims, const char *name, char *out, size_t out_bytes)
{
	const char *text;
	if (!json_member_string(claims, name, &text) || strlen(text) >= out_bytes)
		return false;
	(void)snprintf(out, out_bytes, "%s", text);
	return true;
}

static bool parse_claims(const char *payload, size_t payload_bytes, struct command *out, struct error *error)
{
	struct json *claims auto_json = json_parse(payload, payload_bytes, error);
	if (!claims)
		return error_prefix(error, "the command is refused");
	struct command command = {0};
	if (!copy_claim(claims, "jti", command.id, sizeof(command.id)) ||
	    !copy_claim(claims, "sub", command.device, sizeof(command.device)) ||
	    !copy_claim(claims, "action", command.action, sizeof(command.action)) ||
	    !json_member_int(claims, "iat", &command.issued_s) || !json_member_int(claims, "exp", &command.expires_s) ||
	    !json_member_int(claims, "n", &command.counter))
		return refuse(error, "a claim is missing or of another type");
	if ((json_member(claims, "by") && !copy_claim(claims, "by", command.by, sizeof(command.by))) ||
	    (json_member(claims, "prev") && !copy_claim(claims, "prev", command.prev, sizeof(command.prev))))
		return refuse(error, "by or prev is no text, or too long");
	if (!check_claims(&command, error))
		return false;

	const struct json *params = json_member(claims, "params");
	if (params && !params_ok(params))
		return refuse(error, "params is not an object, or too large");
	command.params = params ? json_copy(params) : json_new_object();
	*out = command;
	return true;
}

enum command_verdict command_check(const char *jws, size_t jws_bytes, const struct command_context *context,
				   struct command *out, struct error *error)
{
	char *payload auto_free = NULL;
	size_t payload_bytes;
	if (!jws_verify(jws, jws_bytes, COMMAND_TYP, context->keys, context->key_count, &payload, &payload_bytes,
			error) ||
	    !parse_claims(payload, payload_bytes, out, error))
		return COMMAND_BAD_FORM;

	if (strcmp(out->device, context->device) != 0) {
		(void)refuse(error, "it is addressed to another device");
		return COMMAND_NOT_MINE;
	}
	// Before exp and n: the command that was obeyed gets its answer again, however late it is asked for.
	if (context->seen && context->seen(context->user, out->id))
		return COMMAND_REPEATED;
	if (context->now_s >= out->expires_s) {
		(void)refuse(error, "it has expired");
		return COMMAND_EXPIRED;
	}
	if (out->counter <= context->counter_high) {
		(void)refuse(error, "its counter was used before");
		return COMMAND_REPLAYED;
	}
	return COMMAND_OK;
}

void command_chain(const char *jws, size_t jws_bytes, char out[COMMAND_CHAIN_BYTES])
{
	uint8_t digest[SHA256_BYTES];
	crypto_sha256(jws, jws_bytes, digest);
	crypto_base64url(digest, sizeof(digest), out);
}

void command_done(struct command *command)
{
	json_free(command->params);
	command->params = NULL;
}

char *command_sign(const struct jws_signer *signer, const struct command *command, struct error *error)
{
	if (!check_claims(command, error))
		return NULL;
	if (command->params && !params_ok(command->params)) {
		(void)refuse(error, "params is not an object, or too large");
		return NULL;
	}
	struct json *claims auto_json = json_new_object();
	json_set_string(claims, "jti", command->id);
	json_set_string(claims, "sub", command->device);
	json_set_int(claims, "iat", command->issued_s);
	json_set_int(claims, "exp", command->expires_s);
	json_set_int(claims, "n", command->counter);
	json_set_string(claims, "action", command->action);
	if (command->by[0])
		json_set_string(claims, "by", command->by);
	if (command->prev[0])
		json_set_string(claims, "prev", command->prev);
	json_set(claims, "params", command->params ? json_copy(command->params) : json_new_object());
	const char *payload = json_text(claims);

	// What no device would read (params nested too deeply, say) is not signed.
	struct json *again auto_json = json_parse(payload, strlen(payload), error);
	if (!again) {
		(void)error_prefix(error, "the command is refused");
		return NULL;
	}
	return jws_sign(signer, COMMAND_TYP, payload, strlen(payload), error);
}
