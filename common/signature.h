// Signatures by the key of a certificate, over SHA-256: how a device signs its results. ECDSA signatures are in DER, as
// "openssl dgst -sha256 -verify" takes them; as text in base64url.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define SIGNATURE_TEXT_MAX 1400 // RSA of 8192 bits; ECDSA P-256 has 96

struct evp_pkey_st; // OpenSSL's EVP_PKEY

bool signature_make(struct evp_pkey_st *key, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
		    struct error *error) must_check;
// By a key in PEM form.
bool signature_make_pem(const char *key_pem, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
			struct error *error) must_check;
// ERROR_INVALID unless text is a signature of data by the certificate's key. Period and issuer are not looked at.
bool signature_check(const char *certificate_pem, const void *data, size_t len_bytes, const char *text,
		     struct error *error) must_check;
