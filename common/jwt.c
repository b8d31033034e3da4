#include "common/jwt.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/key.h"
#include "common/openssl_cleanup.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { RSA_BITS_MIN = 2048, RSA_BYTES_MAX = 1024, HEADER_MAX_BYTES = 512, TOKEN_MAX_BYTES = 8192 };

struct jwt_signer {
	EVP_PKEY *pkey;
};

struct jwt_signer *jwt_signer_parse(const char *pem, const char *what, struct error *error)
{
	EVP_PKEY *pkey = key_parse(pem, what, error);
	if (!pkey)
		return NULL;
	struct jwt_signer *signer = NULL;
	if (EVP_PKEY_get_id(pkey) != EVP_PKEY_RSA || EVP_PKEY_get_bits(pkey) < RSA_BITS_MIN ||
	    EVP_PKEY_get_size(pkey) > RSA_BYTES_MAX)
		(void)error_set(error, ERROR_INVALID, "%s is not an RSA key of %d to %d bits", what, RSA_BITS_MIN,
				RSA_BYTES_MAX * 8);
	else if (!(signer = calloc(1, sizeof(*signer))))
		(void)error_set(error, ERROR_FAILED, "no memory for %s", what);
	if (!signer) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	signer->pkey = pkey;
	return signer;
}

void jwt_signer_free(struct jwt_signer *signer)
{
	if (!signer)
		return;
	EVP_PKEY_free(signer->pkey);
	free(signer);
}

static bool add_base64url(struct buf *out, const void *data, size_t len_bytes)
{
	char *text auto_free = malloc(crypto_base64url_bytes(len_bytes));
	if (!text)
		return false;
	crypto_base64url(data, len_bytes, text);
	return buf_add_str(out, text);
}

static bool add_signature(const struct jwt_signer *signer, struct buf *jwt, struct error *error)
{
	EVP_MD_CTX *context cleanup(digest_cleanup) = EVP_MD_CTX_new();
	unsigned char signature[RSA_BYTES_MAX];
	size_t len = sizeof(signature);
	// PKCS #1 v1.5 is an RSA key's padding unless another is asked for, and what RS256 means.
	if (!context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signer->pkey) != 1 ||
	    EVP_DigestSign(context, signature, &len, (const unsigned char *)jwt->data, jwt->len_bytes) != 1)
		return crypto_fail(error, "cannot sign");
	return (buf_add_str(jwt, ".") && add_base64url(jwt, signature, len)) ||
	       error_set(error, ERROR_LIMIT, "the claims are too large to be signed");
}

char *jwt_sign(const struct jwt_signer *signer, const char *kid, const char *claims, struct error *error)
{
	struct buf header auto_buf = {0};
	struct buf jwt auto_buf = {0};
	buf_init(&header, HEADER_MAX_BYTES);
	buf_init(&jwt, TOKEN_MAX_BYTES);
	(void)buf_add_str(&header, "{\"alg\":\"RS256\"");
	if (kid) {
		(void)buf_add_str(&header, ",\"kid\":");
		(void)json_quote(&header, kid);
	}
	(void)buf_add_str(&header, ",\"typ\":\"JWT\"}");
	if (header.overflowed || !add_base64url(&jwt, header.data, header.len_bytes) || !buf_add_str(&jwt, ".") ||
	    !add_base64url(&jwt, claims, strlen(claims))) {
		(void)error_set(error, ERROR_LIMIT, "the claims are too large to be signed");
		return NULL;
	}
	return add_signature(signer, &jwt, error) ? steal(jwt.data) : NULL;
}
