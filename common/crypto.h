// Hashes, randomness and text encodings, over OpenSSL.
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

void crypto_sha256(const void *data, size_t len_bytes, uint8_t out[SHA256_BYTES]);
void crypto_sha256_hex(const void *data, size_t len_bytes, char out[SHA256_HEX_BYTES]);
// From the kernel's generator; aborts the process when there is no randomness to be had.
void crypto_random(void *out, size_t len_bytes);
void crypto_random_token(char out[TOKEN_TEXT_BYTES]);
void crypto_uuid4(char out[UUID_TEXT_BYTES]); // RFC 9562, lower case
// Time depends on the length only.
bool crypto_equal(const void *a, const void *b, size_t len_bytes);
void crypto_wipe(void *data, size_t len_bytes);

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
