#include "common/http_tls.h"

#include "common/pki.h"
#include "tests/unit/scratch.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <time.h>

struct place {
	char *ca, *ca_key, *foreign, *foreign_key, *cert, *key, *client, *client_key;
};

static struct place place_of(void **state)
{
	return (struct place){
		.ca = scratch_path(state, "ca.crt"),
		.ca_key = scratch_path(state, "ca.key"),
		.foreign = scratch_path(state, "foreign.crt"),
		.foreign_key = scratch_path(state, "foreign.key"),
		.cert = scratch_path(state, "server.crt"),
		.key = scratch_path(state, "server.key"),
		.client = scratch_path(state, "client.crt"),
		.client_key = scratch_path(state, "client.key"),
	};
}

static void place_done(struct place *place)
{
	free(place->ca);
	free(place->ca_key);
	free(place->foreign);
	free(place->foreign_key);
	free(place->cert);
	free(place->key);
	free(place->client);
	free(place->client_key);
}
#define auto_place cleanup(place_done)

static void issue(const char *ca_path, const char *ca_key_path, const struct pki_subject *subject,
		  const char *cert_path, const char *key_path)
{
	struct error error = {0};
	struct pki_ca *ca cleanup(pki_ca_free_cleanup) = pki_ca_load(ca_path, ca_key_path, &error);
	if (!file_exists(key_path))
		assert_true(pki_key_create(key_path, &error));
	char *csr auto_free = pki_csr_create(key_path, "x", &error);
	char *pem auto_free = ca && csr ? pki_issue(ca, csr, subject, NULL, &error) : NULL;
	if (!pem)
		fail_msg("%s", error.what);
	assert_true(pem && file_write(cert_path, pem, strlen(pem), 0600, &error));
}

static const char *const hosts[] = {"localhost", NULL};
static const struct pki_subject server_subject = {
	.profile = PKI_SERVER, .name = "localhost", .hosts = hosts, .lifetime_s = 86400};
static const struct pki_subject device_subject = {
	.profile = PKI_DEVICE, .name = "pump-7", .domain = "fleet.example", .lifetime_s = 86400};

static void furnish(const struct place *place)
{
	struct error error = {0};
	assert_true(pki_ca_create(place->ca, place->ca_key, "Test CA", 30, &error));
	assert_true(pki_ca_create(place->foreign, place->foreign_key, "Foreign CA", 30, &error));
	issue(place->ca, place->ca_key, &server_subject, place->cert, place->key);
}

static struct http_tls *open_tls(const struct place *place)
{
	const struct http_tls_files files = {place->cert, place->key, place->ca};
	struct error error = {0};
	struct http_tls *tls = http_tls_new(&files, &error);
	if (!tls)
		fail_msg("%s", error.what);
	return tls;
}

struct outcome {
	bool accepted;
	char *peer;			   // PEM
	char server_sha[SHA256_HEX_BYTES]; // of the server's certificate, as the client saw it
};

// A handshake in memory, with the client's certificate or (NULL) without one.
static struct outcome shake(struct http_tls *tls, const char *cert, const char *key)
{
	struct outcome outcome = {0};
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	BIO *near = NULL;
	BIO *far = NULL;
	assert_int_equal(BIO_new_bio_pair(&near, 0, &far, 0), 1);
	if (cert) {
		assert_int_equal(SSL_CTX_use_certificate_file(context, cert, SSL_FILETYPE_PEM), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM), 1);
	}
	SSL *client = SSL_new(context);
	SSL *server = http_tls_accept(tls);
	assert_non_null(server);
	SSL_set_bio(client, near, near);
	SSL_set_bio(server, far, far);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 20; i++) {
		(void)SSL_do_handshake(client);
		(void)SSL_do_handshake(server);
	}
	outcome.accepted = SSL_is_init_finished(server) && SSL_is_init_finished(client);
	if (outcome.accepted) {
		unsigned char *der = NULL;
		int len = i2d_X509(SSL_get0_peer_certificate(client), &der);
		crypto_sha256_hex(der, (size_t)len, outcome.server_sha);
		OPENSSL_free(der);
		outcome.peer = http_tls_peer(server);
	}
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(context);
	ERR_clear_error();
	return outcome;
}

// Looks until there is something to tell.
static enum http_tls_change changed(struct http_tls *tls, struct error *error)
{
	time_t deadline = time(NULL) + 20;
	enum http_tls_change change;
	while ((change = http_tls_refresh(tls, error)) == HTTP_TLS_SAME && time(NULL) < deadline)
		(void)poll(NULL, 0, 10);
	return change;
}

static void a_client_may_show_a_certificate(void **state)
{
	struct place place auto_place = place_of(state);
	furnish(&place);
	struct http_tls *tls cleanup(http_tls_free_cleanup) = open_tls(&place);
	struct outcome without = shake(tls, NULL, NULL);
	assert_true(without.accepted);
	assert_null(without.peer);

	issue(place.ca, place.ca_key, &device_subject, place.client, place.client_key);
	struct outcome with = shake(tls, place.client, place.client_key);
	assert_true(with.accepted);
	assert_non_null(with.peer);
	struct pki_certificate_info info;
	assert_true(pki_certificate_info(with.peer, &info, NULL));
	assert_string_equal(info.common_name, "pump-7");
	free(with.peer);
}

static void a_wrong_one_ends_the_handshake(void **state)
{
	struct place place auto_place = place_of(state);
	furnish(&place);
	struct http_tls *tls cleanup(http_tls_free_cleanup) = open_tls(&place);
	issue(place.foreign, place.foreign_key, &device_subject, place.client, place.client_key);
	struct outcome foreign = shake(tls, place.client, place.client_key);
	assert_null(foreign.peer);
	assert_false(foreign.accepted);
	// Ours, but made for servers.
	struct outcome usage = shake(tls, place.cert, place.key);
	assert_false(usage.accepted);
}

static void what_changes_counts_from_the_next_connection_on(void **state)
{
	struct place place auto_place = place_of(state);
	furnish(&place);
	struct error error = {0};
	struct http_tls *tls cleanup(http_tls_free_cleanup) = open_tls(&place);
	struct outcome before = shake(tls, NULL, NULL);
	issue(place.ca, place.ca_key, &server_subject, place.cert, place.key);
	assert_int_equal(changed(tls, &error), HTTP_TLS_CHANGED);
	struct outcome after = shake(tls, NULL, NULL);
	assert_true(after.accepted);
	assert_string_not_equal(before.server_sha, after.server_sha);
	assert_int_equal(http_tls_refresh(tls, &error), HTTP_TLS_SAME);

	// Another authority beside the first.
	char *ours auto_free = file_read(place.ca, 10000, NULL, NULL);
	char *theirs auto_free = file_read(place.foreign, 10000, NULL, NULL);
	struct buf auto_buf both;
	buf_init(&both, 20000);
	(void)buf_addf(&both, "%s%s", ours, theirs);
	assert_true(file_write(place.ca, both.data, both.len_bytes, 0600, &error));
	assert_int_equal(changed(tls, &error), HTTP_TLS_CHANGED);
	issue(place.foreign, place.foreign_key, &device_subject, place.client, place.client_key);
	struct outcome with = shake(tls, place.client, place.client_key);
	assert_true(with.accepted && with.peer);
	free(with.peer);
}

static void what_is_broken_changes_nothing(void **state)
{
	struct place place auto_place = place_of(state);
	furnish(&place);
	struct error error = {0};
	struct http_tls *tls cleanup(http_tls_free_cleanup) = open_tls(&place);
	struct outcome before = shake(tls, NULL, NULL);
	char *key auto_free = file_read(place.key, 10000, NULL, NULL);
	assert_int_equal(unlink(place.key), 0);
	assert_int_equal(changed(tls, &error), HTTP_TLS_BROKEN);
	assert_true(pki_key_create(place.key, &error)); // not the certificate's
	assert_int_equal(changed(tls, &error), HTTP_TLS_BROKEN);
	assert_true(error.what[0] != '\0');
	struct outcome meanwhile = shake(tls, NULL, NULL);
	assert_true(meanwhile.accepted);
	assert_string_equal(before.server_sha, meanwhile.server_sha);
	assert_true(file_write(place.key, key, strlen(key), 0600, &error));
	assert_int_equal(changed(tls, &error), HTTP_TLS_CHANGED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {TEST(a_client_may_show_a_certificate), TEST(a_wrong_one_ends_the_handshake),
					   TEST(what_changes_counts_from_the_next_connection_on),
					   TEST(what_is_broken_changes_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
