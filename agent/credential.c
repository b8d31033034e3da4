#include "agent/credential.h"

#include "agent/fingerprint.h"
#include "common/crypto.h"
#include "common/file.h"
#include "common/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_BYTES 8
#define VERSION 1
#define AT_VERSION MAGIC_BYTES
#define AT_PARTS (AT_VERSION + 1)
#define AT_NONCE (AT_PARTS + 1)
#define HEADER_BYTES (AT_NONCE + CRYPTO_NONCE_BYTES)
#define SALT_BYTES 32
#define TEXTS 3
#define SEALED_MAX_BYTES (TEXTS * (PEM_MAX_BYTES + 1))
#define INFO "muster device credential 1"

#define OLD_KEY "device.key"
#define OLD_CERTIFICATE "device.crt"
#define OLD_CA "ca.crt"

static const uint8_t magic[MAGIC_BYTES] = {'M', 'U', 'S', 'T', 'C', 'R', 'E', 'D'};

struct path {
	char text[PATH_MAX];
};

static struct path path_of(const struct credential_store *store, const char *name)
{
	struct path path;
	(void)snprintf(path.text, sizeof(path.text), "%s/%s", store->state_dir, name);
	return path;
}

void credential_done(struct credential *credential)
{
	crypto_secret_cleanup(&credential->key);
	free(credential->certificate);
	free(credential->ca);
	*credential = (struct credential){0};
}

void credential_move(struct credential *to, struct credential *from)
{
	credential_done(to);
	*to = *from;
	*from = (struct credential){0};
}

bool credential_exists(const struct credential_store *store, const char *name)
{
	return file_exists(path_of(store, name).text) ||
	       (strcmp(name, CREDENTIAL_CURRENT) == 0 && file_exists(path_of(store, OLD_KEY).text));
}

// ---- the sealing key ----

static bool read_salt(const struct credential_store *store, uint8_t out[SALT_BYTES], struct error *error)
{
	struct path path = path_of(store, CREDENTIAL_SALT);
	size_t len_bytes = 0;
	char *salt auto_free = file_read(path.text, SALT_BYTES, &len_bytes, error);
	if (!salt)
		return false;
	if (len_bytes != SALT_BYTES)
		return error_set(error, ERROR_DENIED, "%s is damaged: it must hold %d bytes", path.text, SALT_BYTES);
	memcpy(out, salt, SALT_BYTES);
	return true;
}

static bool make_salt(const struct credential_store *store, struct error *error)
{
	struct path path = path_of(store, CREDENTIAL_SALT);
	uint8_t salt[SALT_BYTES];
	if (file_exists(path.text))
		return true;
	crypto_random(salt, sizeof(salt));
	return file_write(path.text, salt, sizeof(salt), 0600, error);
}

static bool derive(const struct credential_store *store, const char *fingerprint, uint8_t key[CRYPTO_KEY_BYTES],
		   struct error *error)
{
	uint8_t salt[SALT_BYTES];
	if (!read_salt(store, salt, error))
		return false;
	crypto_hkdf(fingerprint, strlen(fingerprint), salt, sizeof(salt), INFO, key);
	return true;
}

// ---- sealing ----

static size_t put_text(char *to, const char *text)
{
	size_t bytes = text ? strlen(text) + 1 : 1;
	memcpy(to, text ? text : "", bytes);
	return bytes;
}

static bool too_large(const char *text)
{
	return text && strlen(text) > PEM_MAX_BYTES;
}

bool credential_save(const struct credential_store *store, const char *name, struct credential *credential,
		     struct error *error)
{
	char fingerprint[SHA256_HEX_BYTES];
	uint8_t key[CRYPTO_KEY_BYTES];
	if (too_large(credential->key) || too_large(credential->certificate) || too_large(credential->ca))
		return error_set(error, ERROR_LIMIT, "the credential is larger than %d bytes", PEM_MAX_BYTES);
	unsigned missing = fingerprint_of(store->root, &credential->parts, fingerprint);
	if (missing)
		return error_set(error, ERROR_DENIED,
				 "cannot seal the credential: the %s of this machine can't be read",
				 fingerprint_part_name(missing));
	if (!make_salt(store, error) || !derive(store, fingerprint, key, error))
		return error_prefix(error, "cannot seal the credential");

	char plain[SEALED_MAX_BYTES];
	uint8_t file[HEADER_BYTES + SEALED_MAX_BYTES + CRYPTO_TAG_BYTES];
	memcpy(file, magic, sizeof(magic));
	file[AT_VERSION] = VERSION;
	file[AT_PARTS] = (uint8_t)credential->parts;
	crypto_random(file + AT_NONCE, CRYPTO_NONCE_BYTES);
	size_t len_bytes = put_text(plain, credential->key);
	len_bytes += put_text(plain + len_bytes, credential->certificate);
	len_bytes += put_text(plain + len_bytes, credential->ca);
	bool ok = crypto_seal(key, file + AT_NONCE, file, HEADER_BYTES, plain, len_bytes, file + HEADER_BYTES, error);
	crypto_wipe(plain, sizeof(plain));
	crypto_wipe(key, sizeof(key));
	return ok &&
	       file_write(path_of(store, name).text, file, HEADER_BYTES + len_bytes + CRYPTO_TAG_BYTES, 0600, error);
}

// ---- opening ----

static char *take_text(const char **at, const char *end)
{
	size_t bytes = strnlen(*at, (size_t)(end - *at));
	char *text = bytes > 0 ? strndup(*at, bytes) : NULL;
	*at += *at + bytes < end ? bytes + 1 : bytes;
	return text;
}

static bool take_texts(const char *plain, size_t len_bytes, struct credential *out, struct error *error)
{
	const char *at = plain;
	const char *end = plain + len_bytes;
	struct credential taken auto_credential = {0};
	taken.key = take_text(&at, end);
	taken.certificate = take_text(&at, end);
	taken.ca = take_text(&at, end);
	if (!taken.key || !taken.certificate != !taken.ca || at != end)
		return error_set(error, ERROR_INVALID, "it does not hold a key, a certificate and authorities");
	if (taken.certificate && !pki_certificate_info(taken.certificate, &taken.info, error))
		return false;
	taken.parts = out->parts;
	credential_move(out, &taken);
	return true;
}

static bool sealed_elsewhere(unsigned missing, struct error *error)
{
	if (missing)
		return error_set(error, ERROR_DENIED,
				 "it was sealed with this machine's %s, which can't be read now: run the agent as the "
				 "user who enrolled the device, or enrol it again",
				 fingerprint_part_name(missing));
	return error_set(error, ERROR_DENIED,
			 "it was sealed on other hardware, or is damaged: enrol this device again (muster-agent "
			 "enroll --again with a token for it)");
}

static bool open_file(const struct credential_store *store, const uint8_t *file, size_t len_bytes,
		      struct credential *out, struct error *error)
{
	char fingerprint[SHA256_HEX_BYTES];
	uint8_t key[CRYPTO_KEY_BYTES];
	if (len_bytes < HEADER_BYTES + CRYPTO_TAG_BYTES || memcmp(file, magic, sizeof(magic)) != 0)
		return error_set(error, ERROR_DENIED, "it is damaged: enrol this device again");
	if (file[AT_VERSION] != VERSION)
		return error_set(error, ERROR_INVALID,
				 "it is of version %u, and this agent knows version %d: install a "
				 "newer agent",
				 file[AT_VERSION], VERSION);
	unsigned parts = file[AT_PARTS];
	unsigned missing = fingerprint_of(store->root, &parts, fingerprint);
	if (file[AT_PARTS] == 0) // sealed where there was nothing to tell the machine by
		missing = 0, parts = 0, fingerprint[0] = '\0';
	if (missing)
		return sealed_elsewhere(missing, error);
	if (!derive(store, fingerprint, key, error))
		return error_prefix(error, "the salt that it was sealed with");
	char plain[SEALED_MAX_BYTES];
	size_t plain_bytes = len_bytes - HEADER_BYTES - CRYPTO_TAG_BYTES;
	bool ok = crypto_open(key, file + AT_NONCE, file, HEADER_BYTES, file + HEADER_BYTES, len_bytes - HEADER_BYTES,
			      (uint8_t *)plain, error);
	crypto_wipe(key, sizeof(key));
	if (!ok)
		return sealed_elsewhere(0, error);
	out->parts = parts;
	ok = take_texts(plain, plain_bytes, out, error);
	crypto_wipe(plain, sizeof(plain));
	return ok;
}

// ---- plain files of an earlier agent ----

static bool wipe_old(const struct credential_store *store, struct error *error)
{
	return file_wipe(path_of(store, OLD_KEY).text, error) &&
	       file_wipe(path_of(store, OLD_CERTIFICATE).text, error) && file_wipe(path_of(store, OLD_CA).text, error);
}

// After a crash the old files are there, or the new one, or both.
static bool take_over(const struct credential_store *store, struct error *error)
{
	if (!file_exists(path_of(store, OLD_KEY).text))
		return true;
	if (!file_exists(path_of(store, CREDENTIAL_CURRENT).text)) {
		struct credential old auto_credential = {0};
		old.key = file_read_secret(path_of(store, OLD_KEY).text, PEM_MAX_BYTES, error);
		if (!old.key)
			return false;
		if (file_exists(path_of(store, OLD_CERTIFICATE).text)) {
			old.certificate =
				file_read(path_of(store, OLD_CERTIFICATE).text, PEM_MAX_BYTES, NULL, error);
			old.ca = file_read(path_of(store, OLD_CA).text, PEM_MAX_BYTES, NULL, error);
			if (!old.certificate || !old.ca)
				return false;
		}
		if (!credential_save(store, CREDENTIAL_CURRENT, &old, error))
			return false;
	}
	return wipe_old(store, error);
}

bool credential_load(const struct credential_store *store, const char *name, struct credential *out,
		     struct error *error)
{
	struct path path = path_of(store, name);
	size_t len_bytes;
	if (strcmp(name, CREDENTIAL_CURRENT) == 0 && !take_over(store, error))
		return error_prefix(error, "cannot seal the plain files of an earlier agent");
	char *file auto_free =
		file_read(path.text, HEADER_BYTES + SEALED_MAX_BYTES + CRYPTO_TAG_BYTES, &len_bytes, error);
	struct credential loaded auto_credential = {0};
	if (!file)
		return false;
	if (!open_file(store, (const uint8_t *)file, len_bytes, &loaded, error))
		return error_prefix(error, "%s can't be used", path.text);
	credential_move(out, &loaded);
	return true;
}

// ---- changing it ----

bool credential_promote(const struct credential_store *store, struct error *error)
{
	return file_replace(path_of(store, CREDENTIAL_NEXT).text, path_of(store, CREDENTIAL_CURRENT).text, error);
}

bool credential_wipe(const struct credential_store *store, const char *name, struct error *error)
{
	if (strcmp(name, CREDENTIAL_CURRENT) == 0 && !wipe_old(store, error))
		return false;
	return file_wipe(path_of(store, name).text, error);
}

bool credential_set_certificate(struct credential *credential, const char *certificate, const char *ca,
				const char *device, struct error *error)
{
	struct pki_certificate_info info;
	if (!pki_certificate_info(certificate, &info, error) ||
	    !pki_check_pair(credential->key, certificate, error) || !pki_bundle_check(ca, NULL, error))
		return false;
	if (device && strcmp(info.common_name, device) != 0)
		return error_set(error, ERROR_INVALID, "the certificate is for %s, and not for %s", info.common_name,
				 device);
	char *new_certificate = strdup(certificate);
	char *new_ca = strdup(ca);
	if (!new_certificate || !new_ca)
		abort();
	free(credential->certificate);
	free(credential->ca);
	credential->certificate = new_certificate;
	credential->ca = new_ca;
	credential->info = info;
	return true;
}

struct tls_credential credential_for_tls(const struct credential *credential)
{
	return (struct tls_credential){
		.key = credential->key,
		.certificate = credential->certificate,
		.ca = credential->ca,
	};
}
