// How messages to webhooks are signed. The secret of a channel is derived (HKDF) from a key file that dashboard and
// commander share and the channel's salt: whoever reads the database learns none.
#pragma once

#include "common/crypto.h"

#include <stdbool.h>

#define WEBHOOK_URL_MAX 2000
#define WEBHOOK_BEARER_MAX 512
#define WEBHOOK_SEALED_BYTES 721 // of a bearer secret of that length, as text with its terminator

struct webhook_key {
	bool known; // false: there is no key file, and no webhooks
	uint8_t master[CRYPTO_KEY_BYTES];
};

// path NULL: none.
bool webhook_key_load(struct webhook_key *key, const char *path, struct error *error) must_check;
void webhook_secret(const struct webhook_key *key, const char *salt, char out[TOKEN_TEXT_BYTES]);
// HMAC-SHA256, in lower-case hex, over the timestamp, a "." and the body; its key is the secret as text.
void webhook_sign(const char *secret, const char *timestamp, const char *body, size_t body_bytes,
		  char out[SHA256_HEX_BYTES]);
// A token as in RFC 6750 section 2.1, of at most WEBHOOK_BEARER_MAX bytes.
bool webhook_bearer_ok(const char *bearer);
// AES-256-GCM with a key of its own, derived from the key file; bound to the URL, so that it is sent nowhere else.
bool webhook_seal(const struct webhook_key *key, const char *url, const char *bearer, char out[WEBHOOK_SEALED_BYTES],
		  struct error *error) must_check;
bool webhook_open(const struct webhook_key *key, const char *url, const char *sealed, char out[WEBHOOK_BEARER_MAX + 1],
		  struct error *error) must_check;
// https://, or http:// to this machine; no user, no fragment, nothing but printable characters.
bool webhook_url_ok(const char *url);
