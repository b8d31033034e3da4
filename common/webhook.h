// How messages to webhooks are signed. The secret of a channel is derived (HKDF) from a key file that dashboard and
// commander share and the channel's salt: whoever reads the database learns none.
#pragma once

#include "common/crypto.h"

#include <stdbool.h>

#define WEBHOOK_URL_MAX 2000

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
// https://, or http:// to this machine; no user, no fragment, nothing but printable characters.
bool webhook_url_ok(const char *url);
