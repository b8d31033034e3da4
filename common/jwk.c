#include "common/jwk.h"

#include "common/crypto.h"

#include <string.h>

bool jwk_parse(const struct json *jwk, struct jws_key *out, struct error *error)
{
	const char *type = "";
	const char *curve = "";
	const char *x = "";
	const char *kid = "";
	uint8_t bytes[JWS_KEY_BYTES];
	size_t count = 0;
	struct jws_key key;
	if (!json_member_string(jwk, "kty", &type) || strcmp(type, "OKP") != 0 ||
	    !json_member_string(jwk, "crv", &curve) || strcmp(curve, "Ed25519") != 0 ||
	    !json_member_string(jwk, "x", &x) ||
	    !crypto_base64url_decode(x, strlen(x), bytes, sizeof(bytes), &count) || count != sizeof(bytes))
		return error_set(error, ERROR_INVALID, "a command key is no Ed25519 public key (RFC 8037)");
	jws_key_from_public(&key, bytes);
	if (json_member_string(jwk, "kid", &kid) && strcmp(kid, key.kid) != 0)
		return error_set(error, ERROR_INVALID, "the command key %.64s has another thumbprint than its kid says",
				 kid);
	*out = key;
	return true;
}

struct json *jwk_json(const struct jws_key *key)
{
	char x[JWS_KID_MAX + 1];
	struct json *jwk = json_new_object();
	crypto_base64url(key->public_key, sizeof(key->public_key), x);
	json_set_string(jwk, "kty", "OKP");
	json_set_string(jwk, "crv", "Ed25519");
	json_set_string(jwk, "kid", key->kid);
	json_set_string(jwk, "x", x);
	return jwk;
}
