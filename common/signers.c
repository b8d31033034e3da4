#include "common/signers.h"

#include "common/json.h"
#include "common/jwk.h"

#include <string.h>

const struct jws_key *signers_find(const struct signers *signers, const char *kid)
{
	for (size_t i = 0; i < signers->count; i++) {
		if (strcmp(signers->keys[i].kid, kid) == 0)
			return &signers->keys[i];
	}
	return NULL;
}

char *signers_sign(const struct jws_signer *signer, const struct signers *signers, struct error *error)
{
	struct json *claims auto_json = json_new_object();
	struct json *keys = json_new_array();
	for (size_t i = 0; i < signers->count; i++)
		json_append(keys, jwk_json(&signers->keys[i]));
	json_set_int(claims, "version", signers->version);
	json_set_int(claims, "iat", signers->issued_s);
	json_set(claims, "keys", keys);
	if (!signers_find(signers, jws_signer_key(signer)->kid)) {
		(void)error_set(error, ERROR_INVALID, "the key that announces the signers must be one of them");
		return NULL;
	}
	const char *payload = json_text(claims);
	return jws_sign(signer, SIGNERS_TYP, payload, strlen(payload), error);
}

static bool parse(const char *payload, size_t payload_bytes, struct signers *out, struct error *error)
{
	struct json *claims auto_json = json_parse(payload, payload_bytes, error);
	const struct json *keys = json_member(claims, "keys");
	struct signers signers = {0};
	if (!claims)
		return error_prefix(error, "the announcement is refused");
	if (!json_member_int(claims, "version", &signers.version) || signers.version < 1 ||
	    !json_member_int(claims, "iat", &signers.issued_s) || json_type(keys) != JSON_ARRAY)
		return error_set(error, ERROR_INVALID, "the announcement is refused: version, iat or keys is missing");
	signers.count = json_array_length(keys);
	if (signers.count < 1 || signers.count > SIGNERS_MAX)
		return error_set(error, ERROR_INVALID, "the announcement is refused: it must name 1 to %d keys",
				 SIGNERS_MAX);
	for (size_t i = 0; i < signers.count; i++) {
		if (!jwk_parse(json_array_at(keys, i), &signers.keys[i], error))
			return error_prefix(error, "the announcement is refused");
	}
	*out = signers;
	return true;
}

bool signers_verify(const char *jws, size_t jws_bytes, const struct jws_key *keys, size_t key_count,
		    struct signers *out, struct error *error)
{
	char *payload auto_free = NULL;
	size_t payload_bytes = 0;
	return jws_verify(jws, jws_bytes, SIGNERS_TYP, keys, key_count, &payload, &payload_bytes, error) &&
	       parse(payload, payload_bytes, out, error);
}

bool signers_read(const char *jws, size_t jws_bytes, struct signers *out, struct error *error)
{
	size_t payload_bytes = 0;
	char *payload auto_free = jws_payload(jws, jws_bytes, &payload_bytes);
	struct signers said = {0};
	if (!payload)
		return error_set(error, ERROR_INVALID, "the announcement is refused: it is no signed message");
	return parse(payload, payload_bytes, &said, error) &&
	       signers_verify(jws, jws_bytes, said.keys, said.count, out, error);
}
