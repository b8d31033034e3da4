// JSON Web Signature, compact serialization (RFC 7515), with Ed25519 only (RFC 8037: alg "EdDSA").
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JWS_KEY_BYTES 32
#define JWS_SIGNATURE_BYTES 64
#define JWS_KID_MAX 43 // base64url of SHA-256: the RFC 7638 thumbprint of the public key

struct jws_signer; // a private key
struct jws_key {   // a public key
	char kid[JWS_KID_MAX + 1];
	uint8_t public_key[JWS_KEY_BYTES];
};

// The private key is a PKCS#8 PEM file, mode 0600 (refused if others can read it).
struct jws_signer *jws_signer_load(const char *path, struct error *error) must_check;
bool jws_signer_create(const char *path, struct error *error) must_check; // fails if the file exists
void jws_signer_free(struct jws_signer *signer);
DEFINE_CLEANUP(struct jws_signer, jws_signer_free)
const struct jws_key *jws_signer_key(const struct jws_signer *signer);
// Fills kid from the 32 bytes.
void jws_key_from_public(struct jws_key *key, const uint8_t public_key[JWS_KEY_BYTES]);

// Header {"alg":"EdDSA","kid":..,"typ":typ}. Returns a malloc'd string.
char *jws_sign(const struct jws_signer *signer, const char *typ, const char *payload, size_t payload_bytes,
	       struct error *error) must_check;
// Checks size, form, header (alg EdDSA, no crit, typ equal), kid among keys, signature: in this order. On success
// *payload is malloc'd (NUL-terminated, length in *payload_bytes). error.what names the failed check.
bool jws_verify(const char *jws, size_t jws_bytes, const char *typ, const struct jws_key *keys, size_t key_count,
		char **payload, size_t *payload_bytes, struct error *error) must_check;

// Whether the header says this typ: which of several checks a message is for. Says nothing of its signature.
bool jws_has_typ(const char *jws, size_t jws_bytes, const char *typ);
// What it says, unchecked: not to be believed before jws_verify. malloc'd, NUL-terminated; NULL when there is none.
char *jws_payload(const char *jws, size_t jws_bytes, size_t *payload_bytes) must_check;

// Plain Ed25519 (RFC 8032) over any bytes, for signatures that stand beside a file.
bool jws_raw_sign(const struct jws_signer *signer, const void *data, size_t len_bytes,
		  uint8_t signature[JWS_SIGNATURE_BYTES], struct error *error) must_check;
bool jws_raw_verify(const struct jws_key *key, const void *data, size_t len_bytes,
		    const uint8_t signature[JWS_SIGNATURE_BYTES]) must_check;
