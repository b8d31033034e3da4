// Private keys in PKCS#8 PEM, in files or in memory, for common/jws.c, common/pki.c and common/tls.c. A key file is
// made with mode 0600, and refused when group or others can read it. No passphrase is ever asked for: an encrypted key
// is refused.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

struct evp_pkey_st; // OpenSSL's EVP_PKEY

// The caller owns it (key_free).
struct evp_pkey_st *key_load(const char *path, struct error *error) must_check;
void key_free(struct evp_pkey_st *key);
DEFINE_CLEANUP(struct evp_pkey_st, key_free)
// ERROR_EXISTS if there is a file already.
bool key_store(struct evp_pkey_st *key, const char *path, struct error *error) must_check;
// From PEM text; error names it as what.
struct evp_pkey_st *key_parse(const char *pem, const char *what, struct error *error) must_check;
// As PEM text, malloc'd: a secret (crypto.h, auto_secret).
char *key_text(struct evp_pkey_st *key, struct error *error) must_check;
// pem_password_cb for everything else that is read from PEM: OpenSSL's default would ask on the terminal.
int key_no_passphrase(char *out, int size, int writing, void *user);
