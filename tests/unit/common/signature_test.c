#include "common/signature.h"

#include "common/file.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"

static char *issue(void **state, const char *name, const char *key)
{
	struct error error = {0};
	char *ca_path auto_free = scratch_path(state, "ca.crt");
	char *ca_key auto_free = scratch_path(state, "ca.key");
	if (!file_exists(ca_path))
		assert_true(pki_ca_create(ca_path, ca_key, "CA", 30, &error));
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = pki_ca_load(ca_path, ca_key, &error);
	char *csr auto_free = pki_csr_of_key(key, name, &error);
	const struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = name, .domain = "muster.invalid", .lifetime_s = 86400};
	assert_non_null(ca);
	assert_non_null(csr);
	char *pem = pki_issue(ca, csr, &subject, NULL, &error);
	assert_non_null(pem);
	return pem;
}

static void only_the_certificates_key_and_these_bytes(void **state)
{
	static const char text[] = "{\"typ\":\"muster-result\"}";
	char signature[SIGNATURE_TEXT_MAX];
	struct error error = {0};
	char *key auto_free = pki_key_new(&error);
	char *other auto_free = pki_key_new(&error);
	char *certificate auto_free = issue(state, "kiosk-7", key);
	char *foreign auto_free = issue(state, "kiosk-8", other);
	assert_true(signature_make_pem(key, text, strlen(text), signature, &error));
	assert_true(strlen(signature) <= 96);
	assert_true(signature_check(certificate, text, strlen(text), signature, &error));

	assert_false(signature_check(foreign, text, strlen(text), signature, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
		char flipped[sizeof(text)];
		memcpy(flipped, text, sizeof(text));
		flipped[bit / 8] = (char)(flipped[bit / 8] ^ 1 << bit % 8);
		assert_false(signature_check(certificate, flipped, strlen(text), signature, NULL));
	}
	assert_false(signature_check(certificate, text, strlen(text), "", NULL));
	assert_false(signature_check(certificate, text, strlen(text), "not base64url!", NULL));
	assert_false(signature_check("no certificate", text, strlen(text), signature, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_the_certificates_key_and_these_bytes, scratch_setup,
						scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
