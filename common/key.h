// Private keys in PKCS#8 PEM files, for common/jws.c and common/pki.c. A key file is made with mode 0600, and refused when
// group or others can read it. No passphrase is ever asked for: an encrypted key is refused.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

struct evp_pkey_st; // OpenSSL's EVP_PKEY

// The caller owns it (EVP_PKEY_free).
struct evp_pkey_st *key_load(const char *path, struct error *error) must_check;
// ERROR_EXISTS if there is a file already.
bool key_store(struct evp_pkey_st *key, const char *path, struct error *error) must_check;
// pem_password_cb for everything else that is read from PEM: OpenSSL's default would ask on the terminal.
int key_no_passphrase(char *out, int size, int writing, void *user);
