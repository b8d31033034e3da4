// Certificates of devices by a CA of the test's own, which is in the scratch folder.
#pragma once

#include "common/pki.h"
#include "tests/unit/scratch.h"

// For the key, PEM. malloc'd. info may be NULL.
static inline char *certificate_issue(void **state, const char *device, const char *key,
				      struct pki_certificate_info *info)
{
	struct error error = {0};
	char *ca_path auto_free = scratch_path(state, "ca.crt");
	char *ca_key auto_free = scratch_path(state, "ca.key");
	if (!file_exists(ca_path))
		assert_true(pki_ca_create(ca_path, ca_key, "CA", 30, &error));
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = pki_ca_load(ca_path, ca_key, &error);
	char *csr auto_free = pki_csr_of_key(key, device, &error);
	const struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = device, .domain = "muster.invalid", .lifetime_s = 86400};
	assert_non_null(ca);
	assert_non_null(csr);
	char *pem = pki_issue(ca, csr, &subject, info, &error);
	assert_non_null(pem);
	return pem;
}
