#include "common/crypto.h"

#include "common/openssl_cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";

void crypto_sha256(const void *data, size_t len_bytes, uint8_t out[SHA256_BYTES])
{
	// NULL only if the library can't hash at all: an all-zero digest must never pass for one.
	if (!SHA256(data, len_bytes, out))
		abort();
}

void crypto_sha256_hex(const void *data, size_t len_bytes, char out[SHA256_HEX_BYTES])
{
	uint8_t digest[SHA256_BYTES];
	crypto_sha256(data, len_bytes, digest);
	crypto_hex(digest, sizeof(digest), out);
}

void crypto_random(void *out, size_t len_bytes)
{
	uint8_t *at = out;
	while (len_bytes > 0) {
		ssize_t got = getrandom(at, len_bytes, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		at += got;
		len_bytes -= (size_t)got;
	}
}

void crypto_random_token(char out[TOKEN_TEXT_BYTES])
{
	uint8_t random[TOKEN_BYTES];
	crypto_random(random, sizeof(random));
	crypto_base64url(random, sizeof(random), out);
	crypto_wipe(random, sizeof(random));
}

void crypto_uuid4(char out[UUID_TEXT_BYTES])
{
	uint8_t bytes[16];
	crypto_random(bytes, sizeof(bytes));
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); // version, RFC 9562 section 5.4
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); // variant
	char hex[2 * sizeof(bytes) + 1];
	crypto_hex(bytes, sizeof(bytes), hex);

	char *to = out;
	for (size_t i = 0; i < 2 * sizeof(bytes); i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*to++ = '-';
		*to++ = hex[i];
	}
	*to = '\0';
}

bool crypto_is_uuid(const char *text)
{
	if (strlen(text) != UUID_TEXT_BYTES - 1)
		return false;
	for (size_t i = 0; text[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return true;
}

bool crypto_equal(const void *a, const void *b, size_t len_bytes)
{
	return CRYPTO_memcmp(a, b, len_bytes) == 0;
}

void crypto_wipe(void *data, size_t len_bytes)
{
	if (data)
		OPENSSL_cleanse(data, len_bytes);
}

void crypto_secret_cleanup(char **text)
{
	if (*text)
		OPENSSL_cleanse(*text, strlen(*text));
	free(*text);
}

void crypto_hmac_sha256(const void *key, size_t key_bytes, const void *data, size_t len_bytes,
			uint8_t out[SHA256_BYTES])
{
	if (key_bytes > INT_MAX || !HMAC(EVP_sha256(), key, (int)key_bytes, data, len_bytes, out, NULL))
		abort();
}

void crypto_hmac_sha1(const void *key, size_t key_bytes, const void *data, size_t len_bytes, uint8_t out[SHA1_BYTES])
{
	if (key_bytes > INT_MAX || !HMAC(EVP_sha1(), key, (int)key_bytes, data, len_bytes, out, NULL))
		abort();
}

// One block of output is enough, so RFC 5869 section 2.3 comes down to HMAC(PRK, info | 0x01).
void crypto_hkdf(const void *secret, size_t secret_bytes, const void *salt, size_t salt_bytes, const char *info,
		 uint8_t key[CRYPTO_KEY_BYTES])
{
	_Static_assert(CRYPTO_KEY_BYTES == SHA256_BYTES, "one block");
	uint8_t prk[SHA256_BYTES];
	char block[128];
	int len = snprintf(block, sizeof(block), "%s\x01", info);
	if (len < 0 || (size_t)len >= sizeof(block))
		abort();
	crypto_hmac_sha256(salt, salt_bytes, secret, secret_bytes, prk);
	crypto_hmac_sha256(prk, sizeof(prk), block, (size_t)len, key);
	OPENSSL_cleanse(prk, sizeof(prk));
}

DEFINE_OPENSSL_CLEANUP(EVP_CIPHER_CTX, cipher, EVP_CIPHER_CTX_free) // wipes the key

static EVP_CIPHER_CTX *gcm_new(const uint8_t *key, const uint8_t *nonce, const void *aad, size_t aad_bytes, int seal)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int ignored;
	if (context && aad_bytes <= INT_MAX &&
	    EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
	    EVP_CipherUpdate(context, NULL, &ignored, aad, (int)aad_bytes) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

bool crypto_seal(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES], const void *aad,
		 size_t aad_bytes, const void *data, size_t len_bytes, uint8_t *out, struct error *error)
{
	EVP_CIPHER_CTX *context cleanup(cipher_cleanup) = gcm_new(key, nonce, aad, aad_bytes, 1);
	int put;
	if (!context || len_bytes > INT_MAX || EVP_CipherUpdate(context, out, &put, data, (int)len_bytes) != 1 ||
	    EVP_CipherFinal_ex(context, out + put, &put) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG_BYTES, out + len_bytes) != 1)
		return crypto_fail(error, "cannot seal");
	return true;
}

bool crypto_open(const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t nonce[CRYPTO_NONCE_BYTES], const void *aad,
		 size_t aad_bytes, const uint8_t *sealed, size_t sealed_bytes, uint8_t *out, struct error *error)
{
	size_t len_bytes = sealed_bytes - CRYPTO_TAG_BYTES;
	uint8_t tag[CRYPTO_TAG_BYTES];
	int put = 0;
	if (sealed_bytes < CRYPTO_TAG_BYTES || len_bytes > INT_MAX)
		return error_set(error, ERROR_DENIED, "too short to be sealed");
	memcpy(tag, sealed + len_bytes, sizeof(tag));
	EVP_CIPHER_CTX *context cleanup(cipher_cleanup) = gcm_new(key, nonce, aad, aad_bytes, 0);
	if (!context || EVP_CipherUpdate(context, out, &put, sealed, (int)len_bytes) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1)
		return crypto_fail(error, "cannot open what is sealed");
	if (EVP_CipherFinal_ex(context, out + put, &put) == 1)
		return true;
	ERR_clear_error();
	OPENSSL_cleanse(out, len_bytes);
	return error_set(error, ERROR_DENIED, "sealed with another key, or changed since");
}

void crypto_hex(const void *data, size_t len_bytes, char *out)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i < len_bytes; i++) {
		*out++ = hex_digits[bytes[i] >> 4];
		*out++ = hex_digits[bytes[i] & 0x0f];
	}
	*out = '\0';
}

size_t crypto_base64url_bytes(size_t len_bytes)
{
	return len_bytes / 3 * 4 + (len_bytes % 3 ? len_bytes % 3 + 1 : 0) + 1;
}

void crypto_base64url(const void *data, size_t len_bytes, char *out)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i < len_bytes; i += 3) {
		size_t have = len_bytes - i < 3 ? len_bytes - i : 3;
		uint32_t group = (uint32_t)bytes[i] << 16;
		if (have > 1)
			group |= (uint32_t)bytes[i + 1] << 8;
		if (have > 2)
			group |= bytes[i + 2];
		for (size_t j = 0; j <= have; j++)
			*out++ = base64url_alphabet[group >> (18 - 6 * j) & 0x3f];
	}
	*out = '\0';
}

static int base64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

bool crypto_base64url_decode(const char *text, size_t text_bytes, void *out, size_t max_bytes, size_t *out_bytes)
{
	size_t needed = text_bytes / 4 * 3 + (text_bytes % 4 ? text_bytes % 4 - 1 : 0);
	if (text_bytes % 4 == 1 || needed > max_bytes)
		return false;

	uint8_t *to = out;
	uint32_t bits = 0;
	unsigned held = 0;
	for (size_t i = 0; i < text_bytes; i++) {
		int value = base64url_value(text[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*to++ = (uint8_t)(bits >> held);
		}
	}
	// Leftover bits that are not zero would give one value several texts.
	if (bits & ((1U << held) - 1))
		return false;
	*out_bytes = needed;
	return true;
}

bool crypto_fail(struct error *error, const char *what)
{
	char text[160] = "no reason given";
	unsigned long code = ERR_peek_error();
	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return error_set(error, ERROR_FAILED, "%s: %s", what, text);
}
