#include "common/password.h"

#include "common/crypto.h"

#include <crypt.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char yescrypt_prefix[] = "$y$";

// libxcrypt's working memory, which holds the password.
struct work {
	void *data;
	int size;
};

static void work_done(struct work *work)
{
	if (work->data && work->size > 0)
		crypto_wipe(work->data, (size_t)work->size);
	free(work->data);
}

static bool password_ok(const char *plain)
{
	size_t len = strlen(plain);
	return len > 0 && len <= PASSWORD_MAX_BYTES;
}

bool password_check(const char *plain, const char *name, struct error *error)
{
	size_t characters = 0;
	for (const char *at = plain; *at; at++)
		characters += ((unsigned char)*at & 0xc0) != 0x80; // of UTF-8
	if (characters < PASSWORD_MIN_CHARACTERS)
		return error_set(error, ERROR_INVALID, "a password has at least %d characters",
				 PASSWORD_MIN_CHARACTERS);
	if (!password_ok(plain))
		return error_set(error, ERROR_INVALID, "a password has at most %d bytes", PASSWORD_MAX_BYTES);
	if (name && strcasecmp(plain, name) == 0)
		return error_set(error, ERROR_INVALID, "a password must not be the name");
	for (const char *at = plain; *at == *plain; at++) {
		if (at[1] == '\0')
			return error_set(error, ERROR_INVALID, "a password must not be one character over and over");
	}
	return true;
}

char *password_hash(const char *plain, struct error *error)
{
	if (!password_ok(plain)) {
		(void)error_set(error, ERROR_INVALID, "a password must have 1 to %d bytes", PASSWORD_MAX_BYTES);
		return NULL;
	}
	// Cost 0 is the library's default; with no random bytes given it takes them from the kernel.
	char *setting auto_free = crypt_gensalt_ra(yescrypt_prefix, 0, NULL, 0);
	if (!setting) {
		(void)error_errno(error, errno, "cannot make a salt");
		return NULL;
	}
	struct work work cleanup(work_done) = {0};
	const char *hash = crypt_ra(plain, setting, &work.data, &work.size);
	char *copy = hash ? strdup(hash) : NULL;
	if (!copy)
		(void)error_errno(error, errno, "cannot hash a password");
	return copy;
}

bool password_verify(const char *plain, const char *hash)
{
	if (!hash || strncmp(hash, yescrypt_prefix, sizeof(yescrypt_prefix) - 1) != 0 || !password_ok(plain))
		return false;
	struct work work cleanup(work_done) = {0};
	const char *computed = crypt_ra(plain, hash, &work.data, &work.size);
	size_t len = strlen(hash);
	return computed && strlen(computed) == len && crypto_equal(computed, hash, len);
}
