// Hashes, randomness, sealing and text encodings, over OpenSSL.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_HEX_BYTES 65 // with terminator
#define TOKEN_BYTES 32      // 256 bits, base64url: 43 characters
#define TOKEN_TEXT_BYTES 44 // with terminator
#define UUID_TEXT_BYTES 37  // with terminator
#define CRYPTO_KEY_BYTES 32
#define CRYPTO_NONCE_BYTES 12
#define CRYPTO_TAG_BYTES 16

void crypto_sha256(const void *data, size_t len_bytes, uint8_t out[SHA256_BYTES]);
void crypto_sha256_hex(const void *data, size_t len_bytes, char out[SHA256_HEX_BYTES]);
// From the kernel's generator; aborts the process when there is no randomness to be had.
void crypto_random(void *out, size_t len_bytes);
void crypto_random_token(char out[TOKEN_TEXT_BYTES]);
void crypto_uuid4(char out[UUID_TEXT_BYTES]); // RFC 9562, lower case
bool crypto_is_uuid(const char *text);        // of any version, in either case
// Time depends on the length only.
bool crypto_equal(const void *a, const void *b, size_t len_bytes);
void crypto_wipe(void *data, size_t len_bytes);
// Wipes and frees a secret text; for auto_secret.
void crypto_secret_cleanup(char **text);
#define auto_secret cleanup(crypto_secret_cleanup)

// HMAC (RFC 2104). Aborts where crypto_sha256 would.
void crypto_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t len_bytes,
			uint8_t out[SHA256_BYTES]);
// HMAC-SHA1, for one-time codes (RFC 6238), where the weakness of SHA-1 does not matter.
#define SHA1_BYTES 20
void crypto_hmac_sha1(const void *key, size_t key_bytes, const void *data, size_t len_bytes, uint8_t out[SHA1_BYTES]);
// HKDF-SHA256 (RFC 5869). Aborts where crypto_sha256 would.
void crypto_hkdf(const void *secret, size_t secret_bytes, const void *salt, size_t salt_bytes, const char *info,
		 uint8_t key[CRYPTO_KEY_BYTES]);
// AES-256-GCM (NIST SP 800-38D). aad is authenticated and not stored. out takes len_bytes + CRYPTO_TAG_BYTES. A key
// must never meet the same nonce twice.
bool crypto_seal(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES], const void *aad,
		 size_t aad_bytes, const void *data, size_t len_bytes, uint8_t *out, struct error *error) must_check;
// sealed_bytes counts the tag; out takes sealed_bytes - CRYPTO_TAG_BYTES. ERROR_DENIED when it was sealed with another
// key, nonce or aad, or was changed since; out then holds nothing.
bool crypto_open(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES], const void *aad,
		 size_t aad_bytes, const uint8_t *sealed, size_t sealed_bytes, uint8_t *out, struct error *error)
	must_check;

void crypto_hex(const void *data, size_t len_bytes, char *out); // out: 2 * len_bytes + 1
// RFC 4648 section 5, without padding. Sizes: base64url_bytes(n) counts the terminator.
size_t crypto_base64url_bytes(size_t len_bytes);
void crypto_base64url(const void *data, size_t len_bytes, char *out);
// Strict: no padding, no white space, no leftover bits. Writes at most max_bytes; false if it is not base64url
// or does not fit.
bool crypto_base64url_decode(const char *text, size_t text_bytes, void *out, size_t max_bytes, size_t *out_bytes)
	must_check;

// Fills error with what and the first fault in OpenSSL's queue, and empties that queue. Returns false.
bool crypto_fail(struct error *error, const char *what);
