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

// What many checks share; one thread at a time may use it.
struct signature_checker;
struct signature_checker *signature_checker_new(struct error *error) must_check;
void signature_checker_free(struct signature_checker *checker);
DEFINE_CLEANUP(struct signature_checker, signature_checker_free)

// certificates: one or several in PEM form. ERROR_INVALID unless text is a signature of data by the key of one of them,
// the first of which is *index (from 0; may be NULL). Period and issuer are not looked at.
bool signature_check(struct signature_checker *checker, const char *certificates, const void *data, size_t len_bytes,
		     const char *text, size_t *index, struct error *error) must_check;
