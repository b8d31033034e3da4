// Scope-bound cleanup of OpenSSL's objects, for the files that own a part of OpenSSL: cleanup(pkey_cleanup).
#pragma once

#include "common/cleanup.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

// free_fn must accept NULL.
#define DEFINE_OPENSSL_CLEANUP(type, name, free_fn)          \
	static inline void name##_cleanup(type **pointer) \
	{                                                 \
		free_fn(*pointer);                        \
	}
DEFINE_OPENSSL_CLEANUP(BIO, bio, BIO_free_all)
DEFINE_OPENSSL_CLEANUP(EVP_MD_CTX, digest, EVP_MD_CTX_free)
DEFINE_OPENSSL_CLEANUP(EVP_PKEY, pkey, EVP_PKEY_free)
DEFINE_OPENSSL_CLEANUP(X509, x509, X509_free)
