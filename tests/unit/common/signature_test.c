#include "common/signature.h"

#include "common/buf.h"
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
	struct signature_checker *checker cleanup(signature_checker_free_cleanup) = signature_checker_new(&error);
	assert_true(signature_make_pem(key, text, strlen(text), signature, &error));
	assert_true(strlen(signature) <= 96);
	assert_true(signature_check(checker, certificate, text, strlen(text), signature, NULL, &error));

	assert_false(signature_check(checker, foreign, text, strlen(text), signature, NULL, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
		char flipped[sizeof(text)];
		memcpy(flipped, text, sizeof(text));
		flipped[bit / 8] = (char)(flipped[bit / 8] ^ 1 << bit % 8);
		assert_false(signature_check(checker, certificate, flipped, strlen(text), signature, NULL, NULL));
	}
	assert_false(signature_check(checker, certificate, text, strlen(text), "", NULL, NULL));
	assert_false(signature_check(checker, certificate, text, strlen(text), "not base64url!", NULL, NULL));
	assert_false(signature_check(checker, "no certificate", text, strlen(text), signature, NULL, &error));
}

// One checker, one key after the other: what it checked before does not matter.
static void any_of_several_certificates(void **state)
{
	static const char text[] = "what was said";
	char signatures[3][SIGNATURE_TEXT_MAX];
	char *certificates[3] = {NULL};
	struct error error = {0};
	struct buf both auto_buf = {0};
	size_t index = 7;
	struct signature_checker *checker cleanup(signature_checker_free_cleanup) = signature_checker_new(&error);
	for (size_t i = 0; i < 3; i++) {
		char *key auto_free = pki_key_new(&error);
		certificates[i] = certificate_issue(state, "kiosk-7", key, NULL);
		assert_true(signature_make_pem(key, text, strlen(text), signatures[i], &error));
	}
	buf_init(&both, 8192);
	buf_add_str(&both, certificates[0]);
	buf_add_str(&both, certificates[1]);
	for (size_t i = 0; i < 9; i++) {
		assert_true(signature_check(checker, certificates[i % 3], text, strlen(text), signatures[i % 3], NULL,
					    &error));
		assert_false(signature_check(checker, certificates[i % 3], text, strlen(text), signatures[(i + 1) % 3],
					     NULL, NULL));
	}
	assert_false(signature_check(checker, buf_str(&both), text, strlen(text), signatures[2], &index, &error));
	assert_int_equal(index, 7);
	assert_true(signature_check(checker, buf_str(&both), text, strlen(text), signatures[1], &index, &error));
	assert_int_equal(index, 1);
	assert_true(signature_check(checker, buf_str(&both), text, strlen(text), signatures[0], &index, &error));
	assert_int_equal(index, 0);
	for (size_t i = 0; i < 3; i++)
		free(certificates[i]);
}

// Whatever is cut off or changed in a certificate, reading it ends; and nothing but the key decides.
static void a_broken_certificate_is_no_certificate(void **state)
{
	static const char text[] = "what was said";
	char signature[SIGNATURE_TEXT_MAX];
	struct error error = {0};
	char *key auto_free = pki_key_new(&error);
	char *certificate auto_free = certificate_issue(state, "kiosk-7", key, NULL);
	struct signature_checker *checker cleanup(signature_checker_free_cleanup) = signature_checker_new(&error);
	char *body = strchr(certificate, '\n') + 1;
	char *footer = strstr(certificate, "-----END");
	assert_true(signature_make_pem(key, text, strlen(text), signature, &error));
	for (char *at = body; at < footer; at++) {
		char kept = *at;
		*at = kept == 'A' ? 'B' : 'A';
		// Some bytes do not matter to the key; what matters is that this returns.
		(void)!signature_check(checker, certificate, text, strlen(text), signature, NULL, NULL);
		*at = kept;
	}
	for (char *at = body; at < footer; at += 4) {
		char cut[4096];
		if (*at == '\n')
			at++;
		(void)snprintf(cut, sizeof(cut), "%.*s\n%s", (int)(at - certificate), certificate, footer);
		(void)!signature_check(checker, cut, text, strlen(text), signature, NULL, NULL);
	}
	assert_true(signature_check(checker, certificate, text, strlen(text), signature, NULL, &error));
	// Its first 40 bytes end before the key.
	memmove(body + 52, footer - 1, strlen(footer - 1) + 1);
	assert_false(signature_check(checker, certificate, text, strlen(text), signature, NULL, &error));
	assert_string_equal(error.what, "the certificate cannot be read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_the_certificates_key_and_these_bytes, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(any_of_several_certificates, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_broken_certificate_is_no_certificate, scratch_setup,
						scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
