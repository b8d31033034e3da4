#include "common/signature.h"

#include "common/crypto.h"
#include "common/key.h"
#include "common/openssl_cleanup.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define SIGNATURE_MAX_BYTES 1024

static void der_cleanup(unsigned char **der)
{
	OPENSSL_free(*der);
}

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

// ---- checking ----

// Everything of a SubjectPublicKeyInfo of P-256 (RFC 5480, section 2) but the point, which follows.
static const unsigned char p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
					  0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
					  0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
#define P256_POINT_BYTES 65

struct signature_checker {
	EVP_PKEY *p256; // takes one point after the other
	EVP_MD_CTX *context;
};

struct signature_checker *signature_checker_new(struct error *error)
{
	struct signature_checker *checker cleanup(signature_checker_free_cleanup) = calloc(1, sizeof(*checker));
	if (checker) {
		checker->p256 = EVP_EC_gen("P-256");
		checker->context = EVP_MD_CTX_new();
	}
	if (checker && checker->p256 && checker->context)
		return steal(checker);
	(void)crypto_fail(error, "cannot check signatures");
	return NULL;
}

void signature_checker_free(struct signature_checker *checker)
{
	if (!checker)
		return;
	EVP_PKEY_free(checker->p256);
	EVP_MD_CTX_free(checker->context);
	free(checker);
}

// Moves *der behind the element there, or with inside behind its header only. *bytes: of all of it. tag is
// V_ASN1_UNDEF for what is not of the universal class.
static bool take_element(const unsigned char **der, const unsigned char *end, bool inside, int *tag, size_t *bytes)
{
	const unsigned char *start = *der;
	const unsigned char *contents = start;
	long length = 0;
	int class = 0;
	int kind = end > start ? ASN1_get_object(&contents, &length, tag, &class, end - start) : 0x80;

	if (kind & 0x81) // wrong, or of indefinite length, which DER does not have
		return false;
	if (class != V_ASN1_UNIVERSAL)
		*tag = V_ASN1_UNDEF;
	*der = inside ? contents : contents + length;
	*bytes = (size_t)(contents + length - start);
	return true;
}

// The SubjectPublicKeyInfo of a certificate (RFC 5280, section 4.1). OpenSSL's decoders take twice as long for all of
// it as the check itself.
static const unsigned char *find_key(const unsigned char *der, long der_bytes, size_t *key_bytes)
{
	const unsigned char *end = der + der_bytes;
	size_t bytes = 0;
	int tag = 0;

	if (!take_element(&der, end, true, &tag, &bytes) || tag != V_ASN1_SEQUENCE ||
	    !take_element(&der, end, true, &tag, &bytes) || tag != V_ASN1_SEQUENCE)
		return NULL;
	// The version, which may be left out, and the serial.
	if (!take_element(&der, end, false, &tag, &bytes) ||
	    (tag != V_ASN1_INTEGER && (!take_element(&der, end, false, &tag, &bytes) || tag != V_ASN1_INTEGER)))
		return NULL;
	for (int i = 0; i < 4; i++) { // algorithm, issuer, validity, subject
		if (!take_element(&der, end, false, &tag, &bytes) || tag != V_ASN1_SEQUENCE)
			return NULL;
	}
	const unsigned char *key = der;
	return take_element(&der, end, false, &tag, key_bytes) && tag == V_ASN1_SEQUENCE ? key : NULL;
}

// The caller frees it.
static EVP_PKEY *read_key(struct signature_checker *checker, const unsigned char *der, long der_bytes)
{
	size_t bytes = 0;
	const unsigned char *key = find_key(der, der_bytes, &bytes);

	if (!key)
		return NULL;
	if (bytes != sizeof(p256_head) + P256_POINT_BYTES || memcmp(key, p256_head, sizeof(p256_head)) != 0)
		return d2i_PUBKEY(NULL, &key, (long)bytes);
	if (EVP_PKEY_set1_encoded_public_key(checker->p256, key + sizeof(p256_head), P256_POINT_BYTES) != 1 ||
	    EVP_PKEY_up_ref(checker->p256) != 1)
		return NULL;
	return checker->p256;
}

static bool fits(struct signature_checker *checker, EVP_PKEY *key, const unsigned char *signature, size_t bytes,
		 const void *data, size_t len_bytes)
{
	return EVP_MD_CTX_reset(checker->context) == 1 &&
	       EVP_DigestVerifyInit(checker->context, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestVerify(checker->context, signature, bytes, data, len_bytes) == 1;
}

bool signature_check(struct signature_checker *checker, const char *certificates, const void *data, size_t len_bytes,
		     const char *text, size_t *index, struct error *error)
{
	unsigned char signature[SIGNATURE_MAX_BYTES];
	size_t bytes = 0;
	BIO *bio cleanup(bio_cleanup) = BIO_new_mem_buf(certificates, -1);
	bool read = false;
	bool good = false;

	if (!crypto_base64url_decode(text, strlen(text), signature, sizeof(signature), &bytes))
		return error_set(error, ERROR_INVALID, "the signature is not base64url");
	for (size_t i = 0; bio && !good; i++) {
		unsigned char *der cleanup(der_cleanup) = NULL;
		long der_bytes = 0;
		if (PEM_bytes_read_bio(&der, &der_bytes, NULL, PEM_STRING_X509, bio, key_no_passphrase, NULL) != 1)
			break;
		EVP_PKEY *key cleanup(pkey_cleanup) = read_key(checker, der, der_bytes);
		read = read || key;
		good = key && fits(checker, key, signature, bytes, data, len_bytes);
		if (good && index)
			*index = i;
	}
	ERR_clear_error();
	if (!read)
		return error_set(error, ERROR_INVALID, "the certificate cannot be read");
	return good || error_set(error, ERROR_INVALID, "the signature is not by this certificate's key");
}
