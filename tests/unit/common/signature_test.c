#include "common/signature.h"

#include "common/file.h"
#include "tests/unit/support/certificate.h"

static void only_the_certificates_key_and_these_bytes(void **state)
{
	static const char text[] = "{\"typ\":\"muster-result\"}";
	char signature[SIGNATURE_TEXT_MAX];
	struct error error = {0};
	char *key auto_free = pki_key_new(&error);
	char *other auto_free = pki_key_new(&error);
	char *certificate auto_free = certificate_issue(state, "kiosk-7", key, NULL);
	char *foreign auto_free = certificate_issue(state, "kiosk-8", other, NULL);
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
