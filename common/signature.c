#include "common/signature.h"

#include "common/crypto.h"
#include "common/key.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define SIGNATURE_MAX_BYTES 1024

#define DEFINE_OPENSSL_CLEANUP(type, name, free_fn)                                                                    \
	static void name##_cleanup(type **pointer)                                                                     \
	{                                                                                                              \
		free_fn(*pointer);                                                                                     \
	}
DEFINE_OPENSSL_CLEANUP(EVP_PKEY, pkey, EVP_PKEY_free)
DEFINE_OPENSSL_CLEANUP(EVP_MD_CTX, digest, EVP_MD_CTX_free)
DEFINE_OPENSSL_CLEANUP(BIO, bio, BIO_free_all)
DEFINE_OPENSSL_CLEANUP(X509, x509, X509_free)

bool signature_make(EVP_PKEY *key, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
		    struct error *error)
{
	EVP_MD_CTX *context cleanup(digest_cleanup) = EVP_MD_CTX_new();
	unsigned char signature[SIGNATURE_MAX_BYTES];
	size_t bytes = sizeof(signature);
	if (!context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(context, signature, &bytes, data, len_bytes) != 1)
		return crypto_fail(error, "cannot sign");
	crypto_base64url(signature, bytes, out);
	return true;
}

bool signature_make_pem(const char *key_pem, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
			struct error *error)
{
	EVP_PKEY *key cleanup(pkey_cleanup) = key_parse(key_pem, "the key", error);
	return key && signature_make(key, data, len_bytes, out, error);
}

bool signature_check(const char *certificate_pem, const void *data, size_t len_bytes, const char *text,
		     struct error *error)
{
	unsigned char signature[SIGNATURE_MAX_BYTES];
	size_t bytes = 0;
	BIO *bio cleanup(bio_cleanup) = BIO_new_mem_buf(certificate_pem, -1);
	X509 *certificate cleanup(x509_cleanup) = bio ? PEM_read_bio_X509(bio, NULL, key_no_passphrase, NULL) : NULL;
	EVP_MD_CTX *context cleanup(digest_cleanup) = EVP_MD_CTX_new();
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
	bool decoded = crypto_base64url_decode(text, strlen(text), signature, sizeof(signature), &bytes);
	bool good = decoded && key && context &&
		    EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(context, signature, bytes, data, len_bytes) == 1;
	ERR_clear_error();
	if (!decoded)
		return error_set(error, ERROR_INVALID, "the signature is not base64url");
	if (!key)
		return error_set(error, ERROR_INVALID, "the certificate cannot be read");
	return good || error_set(error, ERROR_INVALID, "the signature is not by this certificate's key");
}
