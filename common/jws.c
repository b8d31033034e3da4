#include "common/jws.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/key.h"
#include "common/limits.h"
#include "common/openssl_cleanup.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX_BYTES = 1024 };

struct jws_signer {
	EVP_PKEY *pkey;
	struct jws_key key;
};

#define auto_pkey cleanup(pkey_cleanup)
#define auto_digest cleanup(digest_cleanup)

// ---- Keys ----

void jws_key_from_public(struct jws_key *key, const uint8_t public_key[JWS_KEY_BYTES])
{
	// RFC 7638: the required members in lexicographic order, without space (RFC 8037 section 2).
	char x[JWS_KID_MAX + 1];
	crypto_base64url(public_key, JWS_KEY_BYTES, x);
	char jwk[128];
	int len = snprintf(jwk, sizeof(jwk), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);

	uint8_t thumbprint[SHA256_BYTES];
	crypto_sha256(jwk, (size_t)len, thumbprint);
	crypto_base64url(thumbprint, sizeof(thumbprint), key->kid);
	memmove(key->public_key, public_key, JWS_KEY_BYTES);
}

static struct jws_signer *signer_from_pkey(EVP_PKEY *pkey, struct error *error)
{
	struct jws_signer *signer = calloc(1, sizeof(*signer));
	uint8_t public_key[JWS_KEY_BYTES];
	size_t len = sizeof(public_key);
	if (!signer || EVP_PKEY_get_raw_public_key(pkey, public_key, &len) != 1 || EVP_PKEY_up_ref(pkey) != 1) {
		free(signer);
		(void)crypto_fail(error, "cannot use the signing key");
		return NULL;
	}
	signer->pkey = pkey;
	jws_key_from_public(&signer->key, public_key);
	return signer;
}

struct jws_signer *jws_signer_load(const char *path, struct error *error)
{
	EVP_PKEY *pkey auto_pkey = key_load(path, error);
	if (!pkey)
		return NULL;
	if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
		(void)error_set(error, ERROR_INVALID, "%s is not an Ed25519 private key", path);
		return NULL;
	}
	return signer_from_pkey(pkey, error);
}

bool jws_signer_create(const char *path, struct error *error)
{
	EVP_PKEY *pkey auto_pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!pkey)
		return crypto_fail(error, "cannot make a signing key");
	return key_store(pkey, path, error);
}

void jws_signer_free(struct jws_signer *signer)
{
	if (!signer)
		return;
	EVP_PKEY_free(signer->pkey);
	free(signer);
}

const struct jws_key *jws_signer_key(const struct jws_signer *signer)
{
	return &signer->key;
}

// ---- Signatures ----

bool jws_raw_sign(const struct jws_signer *signer, const void *data, size_t len_bytes,
		  uint8_t signature[JWS_SIGNATURE_BYTES], struct error *error)
{
	EVP_MD_CTX *context auto_digest = EVP_MD_CTX_new();
	size_t len = JWS_SIGNATURE_BYTES;
	if (!context || EVP_DigestSignInit(context, NULL, NULL, NULL, signer->pkey) != 1 ||
	    EVP_DigestSign(context, signature, &len, data, len_bytes) != 1 || len != JWS_SIGNATURE_BYTES)
		return crypto_fail(error, "cannot sign");
	return true;
}

bool jws_raw_verify(const struct jws_key *key, const void *data, size_t len_bytes,
		    const uint8_t signature[JWS_SIGNATURE_BYTES])
{
	EVP_PKEY *pkey auto_pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->public_key, JWS_KEY_BYTES);
	EVP_MD_CTX *context auto_digest = EVP_MD_CTX_new();
	bool good = pkey && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestVerify(context, signature, JWS_SIGNATURE_BYTES, data, len_bytes) == 1;
	ERR_clear_error();
	return good;
}

static bool add_base64url(struct buf *out, const void *data, size_t len_bytes)
{
	char *text auto_free = malloc(crypto_base64url_bytes(len_bytes));
	if (!text)
		return false;
	crypto_base64url(data, len_bytes, text);
	return buf_add_str(out, text);
}

char *jws_sign(const struct jws_signer *signer, const char *typ, const char *payload, size_t payload_bytes,
	       struct error *error)
{
	struct buf header auto_buf = {0};
	buf_init(&header, HEADER_MAX_BYTES);
	(void)buf_addf(&header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":", signer->key.kid);
	(void)json_quote(&header, typ);
	(void)buf_add_str(&header, "}");

	struct buf jws auto_buf = {0};
	buf_init(&jws, JWS_MAX_BYTES);
	if (payload_bytes > JWS_MAX_BYTES || header.overflowed || !add_base64url(&jws, header.data, header.len_bytes) ||
	    !buf_add_str(&jws, ".") || !add_base64url(&jws, payload, payload_bytes)) {
		(void)error_set(error, ERROR_LIMIT, "the payload is too large to be signed");
		return NULL;
	}
	uint8_t signature[JWS_SIGNATURE_BYTES];
	if (!jws_raw_sign(signer, jws.data, jws.len_bytes, signature, error))
		return NULL;
	if (!buf_add_str(&jws, ".") || !add_base64url(&jws, signature, sizeof(signature))) {
		(void)error_set(error, ERROR_LIMIT, "the payload is too large to be signed");
		return NULL;
	}
	return steal(jws.data);
}

// ---- Verification ----

struct parts {
	const char *header, *payload, *signature;
	size_t header_bytes, payload_bytes, signature_bytes;
};

static bool refuse(struct error *error, const char *why)
{
	return error_set(error, ERROR_INVALID, "the signed message is refused: %s", why);
}

static bool split(const char *jws, size_t jws_bytes, struct parts *out)
{
	const char *end = jws + jws_bytes;
	const char *first = memchr(jws, '.', jws_bytes);
	const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
	if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
		return false;
	*out = (struct parts){jws,
			      first + 1,
			      second + 1,
			      (size_t)(first - jws),
			      (size_t)(second - first - 1),
			      (size_t)(end - second - 1)};
	return true;
}

static struct json *parse_header(const struct parts *parts)
{
	char header[HEADER_MAX_BYTES];
	size_t len;
	if (!crypto_base64url_decode(parts->header, parts->header_bytes, header, sizeof(header), &len))
		return NULL;
	return json_parse(header, len, NULL);
}

static bool member_is(const struct json *object, const char *name, const char *wanted)
{
	const char *text;
	return json_member_string(object, name, &text) && strcmp(text, wanted) == 0;
}

// The key that the header names, or NULL with error filled.
static const struct jws_key *check_header(const struct json *header, const char *typ, const struct jws_key *keys,
					  size_t key_count, struct error *error)
{
	const char *kid;
	if (json_type(header) != JSON_OBJECT)
		(void)refuse(error, "header is not JSON");
	else if (!member_is(header, "alg", "EdDSA"))
		(void)refuse(error, "alg is not EdDSA");
	else if (json_member(header, "crit"))
		(void)refuse(error, "crit names extensions that are not understood");
	else if (!member_is(header, "typ", typ))
		(void)refuse(error, "typ is another");
	else if (!json_member_string(header, "kid", &kid))
		(void)refuse(error, "kid is missing");
	else {
		for (size_t i = 0; i < key_count; i++)
			if (strcmp(keys[i].kid, kid) == 0)
				return &keys[i];
		(void)refuse(error, "kid is not trusted");
	}
	return NULL;
}

static bool check_signature(const char *jws, const struct parts *parts, const struct jws_key *key)
{
	uint8_t signature[JWS_SIGNATURE_BYTES];
	size_t len;
	if (!crypto_base64url_decode(parts->signature, parts->signature_bytes, signature, sizeof(signature), &len) ||
	    len != sizeof(signature))
		return false;
	return jws_raw_verify(key, jws, parts->header_bytes + 1 + parts->payload_bytes, signature);
}

static char *decode_payload(const struct parts *parts, size_t *payload_bytes)
{
	size_t max = parts->payload_bytes / 4 * 3 + 3;
	char *decoded auto_free = malloc(max + 1);
	if (!decoded)
		abort();
	if (!crypto_base64url_decode(parts->payload, parts->payload_bytes, decoded, max, payload_bytes))
		return NULL;
	decoded[*payload_bytes] = '\0';
	return steal(decoded);
}

char *jws_payload(const char *jws, size_t jws_bytes, size_t *payload_bytes)
{
	struct parts parts;
	bool sound = jws_bytes > 0 && jws_bytes <= JWS_MAX_BYTES && split(jws, jws_bytes, &parts);
	return sound ? decode_payload(&parts, payload_bytes) : NULL;
}

bool jws_has_typ(const char *jws, size_t jws_bytes, const char *typ)
{
	struct parts parts;
	if (jws_bytes == 0 || jws_bytes > JWS_MAX_BYTES || !split(jws, jws_bytes, &parts))
		return false;
	struct json *header auto_json = parse_header(&parts);
	return json_type(header) == JSON_OBJECT && member_is(header, "typ", typ);
}

bool jws_verify(const char *jws, size_t jws_bytes, const char *typ, const struct jws_key *keys, size_t key_count,
		char **payload, size_t *payload_bytes, struct error *error)
{
	if (jws_bytes > JWS_MAX_BYTES)
		return refuse(error, "it is too large");
	struct parts parts;
	if (jws_bytes == 0 || !split(jws, jws_bytes, &parts))
		return refuse(error, "it does not have three parts");
	struct json *header auto_json = parse_header(&parts);
	const struct jws_key *key = check_header(header, typ, keys, key_count, error);
	if (!key)
		return false;
	if (!check_signature(jws, &parts, key))
		return refuse(error, "signature is wrong");

	char *decoded = decode_payload(&parts, payload_bytes);
	if (!decoded)
		return refuse(error, "payload is not base64url");
	*payload = decoded;
	return true;
}
