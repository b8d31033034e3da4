// Programs that sign their requests instead of logging in: POST /admin/command, and their keys. The secret of a key is
// derived (HKDF) from the dashboard's key file and the key's id: whoever reads the database learns none.
#pragma once

#include "common/crypto.h"
#include "common/http.h"
#include "dashboard/dashboard.h"

#include <stdbool.h>

#define ADMIN_KEY_ID_BYTES 17  // 16 hex digits and the terminator
#define ADMIN_WINDOW_MS 300000 // a timestamp counts for 5 minutes, before and after

// Reads config.admin_key_file, when there is one.
bool admin_load(struct dashboard *dashboard, struct error *error) must_check;

void admin_secret(const uint8_t master[CRYPTO_KEY_BYTES], const char *id, char out[TOKEN_TEXT_BYTES]);

struct admin_claim {
	const char *id, *timestamp, *signature; // of the headers; NULL: absent
	const char *body;
	size_t body_bytes;
};

// Whether the signature is that of timestamp, "." and body by the key id, and the timestamp is near now_ms. NULL: it
// is, and signature says what to remember; otherwise why not. Nothing is said about which keys there are.
const char *admin_check(const uint8_t master[CRYPTO_KEY_BYTES], const struct admin_claim *claim, int64_t now_ms,
			uint8_t signature[SHA256_BYTES]);

http_handler admin_command;	// POST /admin/command
http_handler admin_keys_list;	// GET /api/v1/admin-keys
http_handler admin_keys_create; // POST /api/v1/admin-keys
http_handler admin_keys_revoke; // DELETE /api/v1/admin-keys/{id}
