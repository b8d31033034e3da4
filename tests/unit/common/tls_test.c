#include "common/tls.h"

#include "common/crypto.h"
#include "common/limits.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"

#include <openssl/ssl.h>

// The handshakes are in mqtt_test.c, against a real broker.

static void make(void **state, char **key, char **certificate, char **ca)
{
	struct error error = {0};
	char *ca_path auto_free = scratch_path(state, "ca.crt");
	char *ca_key auto_free = scratch_path(state, "ca.key");
	assert_true(pki_ca_create(ca_path, ca_key, "test CA", 30, &error));
	struct pki_ca *authority = pki_ca_load(ca_path, ca_key, &error);
	*key = pki_key_new(&error);
	char *csr auto_free = pki_csr_of_key(*key, "x", &error);
	const struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = "kiosk-7", .domain = "example.org", .lifetime_s = 86400};
	*certificate = pki_issue(authority, csr, &subject, NULL, &error);
	*ca = file_read(ca_path, PEM_MAX_BYTES, NULL, &error);
	pki_ca_free(authority);
	assert_non_null(*certificate);
	assert_non_null(*ca);
}

static void takes_nothing_old_and_checks_the_peer(void **state)
{
	struct error error = {0};
	char *key auto_secret = NULL;
	char *certificate auto_free = NULL;
	char *ca auto_free = NULL;
	make(state, &key, &certificate, &ca);
	const struct tls_credential credential = {key, certificate, ca};
	struct tls *tls cleanup(tls_free_cleanup) = tls_new("localhost", &credential, &error);
	assert_non_null(tls);
	SSL_CTX *context = tls_context(tls);
	assert_int_equal(SSL_CTX_get_min_proto_version(context), TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_get_verify_mode(context), SSL_VERIFY_PEER);
	assert_int_equal(SSL_CTX_check_private_key(context), 1);
}

static void refuses_what_does_not_fit(void **state)
{
	struct error error = {0};
	char *key auto_secret = NULL;
	char *certificate auto_free = NULL;
	char *ca auto_free = NULL;
	make(state, &key, &certificate, &ca);
	char *other auto_secret = pki_key_new(&error);
	const struct tls_credential good = {key, certificate, ca};
	const struct tls_credential bad[] = {
		{other, certificate, ca}, {"nonsense", certificate, ca}, {key, "nonsense", ca}, {key, certificate, ""}};
	struct tls *tls cleanup(tls_free_cleanup) = tls_new("localhost", &good, &error);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(tls_new("localhost", &bad[i], &error));
		assert_true(error.what[0]);
		assert_false(tls_set(tls, &bad[i], &error));
		assert_int_equal(SSL_CTX_check_private_key(tls_context(tls)), 1); // the good one still counts
	}
	const struct tls_credential anonymous = {NULL, NULL, ca};
	struct tls *without cleanup(tls_free_cleanup) = tls_new("localhost", &anonymous, &error);
	assert_non_null(without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(takes_nothing_old_and_checks_the_peer, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(refuses_what_does_not_fit, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
