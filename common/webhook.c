#include "common/webhook.h"

#include "common/buf.h"
#include "common/file.h"

#include <string.h>

#define INFO "muster webhook" // what the derived secrets are for
#define BEARER_INFO "muster webhook bearer"
#define KEY_FILE_MAX_BYTES 256
#define TIMESTAMP_MAX_BYTES 32

bool webhook_key_load(struct webhook_key *key, const char *path, struct error *error)
{
	size_t got = 0;

	*key = (struct webhook_key){0};
	if (!path)
		return true;
	char *text auto_secret = file_read_group_secret(path, KEY_FILE_MAX_BYTES, error);

	if (!text)
		return false;
	key->known = crypto_base64url_decode(text, strlen(text), key->master, sizeof(key->master), &got) &&
		     got == sizeof(key->master);
	return key->known || error_set(error, ERROR_INVALID, "%s must hold 32 bytes in base64url, 43 characters", path);
}

void webhook_secret(const struct webhook_key *key, const char *salt, char out[TOKEN_TEXT_BYTES])
{
	uint8_t derived[CRYPTO_KEY_BYTES];

	crypto_hkdf(key->master, sizeof(key->master), salt, strlen(salt), INFO, derived);
	crypto_base64url(derived, sizeof(derived), out);
	crypto_wipe(derived, sizeof(derived));
}

void webhook_sign(const char *secret, const char *timestamp, const char *body, size_t body_bytes,
		  char out[SHA256_HEX_BYTES])
{
	uint8_t digest[SHA256_BYTES];
	auto_buf struct buf text;

	buf_init(&text, body_bytes + TIMESTAMP_MAX_BYTES);
	(void)buf_addf(&text, "%s.", timestamp);
	(void)buf_add(&text, body, body_bytes);
	crypto_hmac_sha256(secret, strlen(secret), buf_str(&text), text.len_bytes, digest);
	crypto_hex(digest, sizeof(digest), out);
}

bool webhook_bearer_ok(const char *bearer)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
	size_t body = strspn(bearer, alphabet), length = strlen(bearer);

	return body > 0 && length <= WEBHOOK_BEARER_MAX && body + strspn(bearer + body, "=") == length;
}

// Its nonce is also the salt of its key.
bool webhook_seal(const struct webhook_key *key, const char *url, const char *bearer, char out[WEBHOOK_SEALED_BYTES],
		  struct error *error)
{
	uint8_t own[CRYPTO_KEY_BYTES], sealed[CRYPTO_NONCE_BYTES + WEBHOOK_BEARER_MAX + CRYPTO_TAG_BYTES];
	size_t length = strlen(bearer);

	if (!webhook_bearer_ok(bearer))
		return error_set(error, ERROR_INVALID,
				 "a bearer secret has 1 to %d letters, digits and -._~+/=", WEBHOOK_BEARER_MAX);
	crypto_random(sealed, CRYPTO_NONCE_BYTES);
	crypto_hkdf(key->master, sizeof(key->master), sealed, CRYPTO_NONCE_BYTES, BEARER_INFO, own);

	bool ok = crypto_seal(own, sealed, url, strlen(url), bearer, length, sealed + CRYPTO_NONCE_BYTES, error);

	crypto_wipe(own, sizeof(own));
	if (ok)
		crypto_base64url(sealed, CRYPTO_NONCE_BYTES + length + CRYPTO_TAG_BYTES, out);
	return ok;
}

bool webhook_open(const struct webhook_key *key, const char *url, const char *sealed, char out[WEBHOOK_BEARER_MAX + 1],
		  struct error *error)
{
	uint8_t own[CRYPTO_KEY_BYTES], bytes[CRYPTO_NONCE_BYTES + WEBHOOK_BEARER_MAX + CRYPTO_TAG_BYTES];
	size_t got = 0;

	if (!crypto_base64url_decode(sealed, strlen(sealed), bytes, sizeof(bytes), &got) ||
	    got <= CRYPTO_NONCE_BYTES + CRYPTO_TAG_BYTES)
		return error_set(error, ERROR_INVALID, "the bearer secret is damaged; set it again");
	crypto_hkdf(key->master, sizeof(key->master), bytes, CRYPTO_NONCE_BYTES, BEARER_INFO, own);

	bool ok = crypto_open(own, bytes, url, strlen(url), bytes + CRYPTO_NONCE_BYTES, got - CRYPTO_NONCE_BYTES,
			      (uint8_t *)out, error);

	crypto_wipe(own, sizeof(own));
	if (!ok)
		return error_set(error, ERROR_DENIED,
				 "the bearer secret was sealed for another address or with another key; set it again");
	out[got - CRYPTO_NONCE_BYTES - CRYPTO_TAG_BYTES] = '\0';
	return true;
}

bool webhook_url_ok(const char *url)
{
	static const char *const local[] = {"http://127.0.0.1", "http://[::1]", "http://localhost"};
	size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : 0;

	for (size_t i = 0; scheme == 0 && i < sizeof(local) / sizeof(local[0]); i++) {
		size_t length = strlen(local[i]);

		if (strncmp(url, local[i], length) == 0 && strchr(":/", url[length])) // strchr finds the end, too
			scheme = 7;
	}
	for (const char *c = url; *c; c++) {
		if ((unsigned char)*c <= ' ' || (unsigned char)*c > 0x7e || *c == '#' || *c == '\\')
			return false;
	}
	size_t host = scheme > 0 ? strcspn(url + scheme, "/?") : 0;

	return host > 0 && !memchr(url + scheme, '@', host) && strlen(url) <= WEBHOOK_URL_MAX;
}
