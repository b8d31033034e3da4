// A JSON Web Token (RFC 7519) signed with RSA and SHA-256 (RFC 7518: alg "RS256"): how a program shows an OAuth 2.0
// server that it is a service account (RFC 7523). What Muster itself signs is in common/jws.h.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stddef.h>

struct jwt_signer; // an RSA private key

// pem: PKCS#8, of 2048 bits or more; what names it in errors.
struct jwt_signer *jwt_signer_parse(const char *pem, const char *what, struct error *error) must_check;
void jwt_signer_free(struct jwt_signer *signer);
DEFINE_CLEANUP(struct jwt_signer, jwt_signer_free)

// Header {"alg":"RS256","kid":kid,"typ":"JWT"}; kid may be NULL. claims: JSON text. malloc'd, and a secret while it
// lasts.
char *jwt_sign(const struct jwt_signer *signer, const char *kid, const char *claims, struct error *error) must_check;
