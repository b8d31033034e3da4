#include "bridge/authority.h"

#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

enum { FILES = 3 };

struct authority_past {
	struct authority_past *next;
	struct pki_ca *ca;
	char *trust_pem;
};

static bool look(const struct options *options, struct file_stamp stamps[FILES], struct error *error)
{
	return file_stamp(options->ca_cert_file, &stamps[0], error) &&
	       file_stamp(options->ca_key_file, &stamps[1], error) &&
	       file_stamp(options->trust_file, &stamps[2], error);
}

// All of it or nothing. The stamps are from before the reading, so that what changes meanwhile is found the next time.
static bool load(struct authority *authority, struct error *error)
{
	const struct options *options = authority->options;
	struct pki_bundle bundle auto_pki_bundle = {0};
	struct pki_certificate_info info;
	auto_free char *trust = file_read(options->trust_file, PEM_MAX_BYTES, NULL, error);

	if (!trust || !pki_bundle_parse(trust, &bundle, error))
		return error_prefix(error, "trust.ca_file");
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) =
		pki_ca_load(options->ca_cert_file, options->ca_key_file, error);
	if (!ca || !pki_ca_info(ca, &info, error))
		return error_prefix(error, "the device CA");
	if (authority->ca) {
		struct authority_past *past = calloc(1, sizeof(*past));
		if (!past)
			return error_set(error, ERROR_FAILED, "no memory for another authority");
		*past = (struct authority_past){authority->past, authority->ca, authority->trust_pem};
		authority->past = past;
	}
	authority->ca = steal(ca);
	authority->info = info;
	crypto_sha256_hex(trust, strlen(trust), authority->trust_sha256);
	authority->trust_pem = steal(trust);
	return true;
}

bool authority_open(struct authority *authority, const struct options *options, struct error *error)
{
	*authority = (struct authority){.options = options};
	return look(options, authority->stamps, error) && load(authority, error);
}

void authority_forget(struct authority *authority)
{
	while (authority->past) {
		struct authority_past *past = authority->past;

		authority->past = past->next;
		pki_ca_free(past->ca);
		free(past->trust_pem);
		free(past);
	}
}

void authority_close(struct authority *authority)
{
	authority_forget(authority);
	pki_ca_free(authority->ca);
	free(authority->trust_pem);
	*authority = (struct authority){0};
}

bool authority_refresh(struct authority *authority, bool *changed, struct error *error)
{
	struct file_stamp stamps[FILES];

	*changed = false;
	if (!look(authority->options, stamps, error))
		return false;
	for (size_t i = 0; i < FILES && !*changed; i++)
		*changed = !file_stamp_equal(&stamps[i], &authority->stamps[i]);
	if (!*changed)
		return true;
	*changed = load(authority, error);
	if (*changed)
		memcpy(authority->stamps, stamps, sizeof(stamps));
	return *changed;
}
