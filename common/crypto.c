#include "common/crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
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

bool crypto_equal(const void *a, const void *b, size_t len_bytes)
{
	return CRYPTO_memcmp(a, b, len_bytes) == 0;
}

void crypto_wipe(void *data, size_t len_bytes)
{
	if (data)
		OPENSSL_cleanse(data, len_bytes);
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
