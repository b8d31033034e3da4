#include "common/http_tls.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 1000
#define FILES_MAX 3

struct http_tls {
	char *cert_file, *key_file, *client_ca_file;
	SSL_CTX *context;
	struct file_stamp stamps[FILES_MAX]; // of what context was made from
	int64_t looked_ms;
};

static bool look(const struct http_tls *tls, struct file_stamp out[FILES_MAX], struct error *error)
{
	memset(out, 0, FILES_MAX * sizeof(*out));
	if (!file_stamp(tls->cert_file, &out[0], error))
		return error_prefix(error, "server certificate");
	if (!file_stamp(tls->key_file, &out[1], error))
		return error_prefix(error, "server's private key");
	if (tls->client_ca_file && !file_stamp(tls->client_ca_file, &out[2], error))
		return error_prefix(error, "authorities of client certificates");
	return true;
}

static bool same(const struct file_stamp a[FILES_MAX], const struct file_stamp b[FILES_MAX])
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		if (!file_stamp_equal(&a[i], &b[i]))
			return false;
	}
	return true;
}

static bool ask_for_certificate(SSL_CTX *context, const char *ca_file, struct error *error)
{
	static const unsigned char session_context[] = "muster";
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca_file);
	if (!names || SSL_CTX_load_verify_file(context, ca_file) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		(void)crypto_fail(error, "cannot use the authorities of client certificates");
		return error_prefix(error, "%s", ca_file);
	}
	SSL_CTX_set_client_CA_list(context, names);
	// A client may come without one; a wrong one ends the handshake.
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	return SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context) - 1) == 1 ||
	       crypto_fail(error, "cannot set up TLS");
}

static bool fill(SSL_CTX *context, const struct http_tls *tls, struct error *error)
{
	(void)SSL_CTX_set_options(context,
				  SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
		return crypto_fail(error, "cannot set up TLS");
	if (SSL_CTX_use_certificate_chain_file(context, tls->cert_file) != 1)
		return crypto_fail(error, "cannot use the server certificate");
	if (SSL_CTX_use_PrivateKey_file(context, tls->key_file, SSL_FILETYPE_PEM) != 1)
		return crypto_fail(error, "cannot use the server's private key");
	return !tls->client_ca_file || ask_for_certificate(context, tls->client_ca_file, error);
}

static bool make(struct http_tls *tls, struct error *error)
{
	struct file_stamp stamps[FILES_MAX];
	// First the look, then the reading: what changes between them is found the next time.
	if (!look(tls, stamps, error))
		return false;
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	if (!context)
		return crypto_fail(error, "cannot set up TLS");
	if (!fill(context, tls, error)) {
		error->kind = ERROR_INVALID;
		SSL_CTX_free(context);
		return false;
	}
	SSL_CTX_free(tls->context); // connections hold on to theirs
	tls->context = context;
	memcpy(tls->stamps, stamps, sizeof(stamps));
	return true;
}

struct http_tls *http_tls_new(const struct http_tls_files *files, struct error *error)
{
	struct http_tls *tls cleanup(http_tls_free_cleanup) = calloc(1, sizeof(*tls));
	if (tls) {
		tls->cert_file = strdup(files->cert_file);
		tls->key_file = strdup(files->key_file);
		tls->client_ca_file = files->client_ca_file ? strdup(files->client_ca_file) : NULL;
		tls->looked_ms = clock_mono_ms();
	}
	if (!tls || !tls->cert_file || !tls->key_file || !tls->client_ca_file != !files->client_ca_file) {
		error_errno(error, ENOMEM, "cannot set up TLS");
		return NULL;
	}
	return make(tls, error) ? steal(tls) : NULL;
}

void http_tls_free(struct http_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls->cert_file);
	free(tls->key_file);
	free(tls->client_ca_file);
	free(tls);
}

enum http_tls_change http_tls_refresh(struct http_tls *tls, struct error *error)
{
	struct file_stamp stamps[FILES_MAX];
	int64_t now_ms = clock_mono_ms();
	if (now_ms - tls->looked_ms < LOOK_EVERY_MS)
		return HTTP_TLS_SAME;
	tls->looked_ms = now_ms;
	if (!look(tls, stamps, error))
		return HTTP_TLS_BROKEN;
	if (same(stamps, tls->stamps))
		return HTTP_TLS_SAME;
	return make(tls, error) ? HTTP_TLS_CHANGED : HTTP_TLS_BROKEN;
}

SSL *http_tls_accept(struct http_tls *tls)
{
	return SSL_new(tls->context);
}

char *http_tls_peer(const SSL *ssl)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	BIO *bio = certificate && SSL_get_verify_result(ssl) == X509_V_OK ? BIO_new(BIO_s_mem()) : NULL;
	char *data = NULL;
	char *pem = NULL;
	if (bio && PEM_write_bio_X509(bio, certificate) == 1) {
		long len = BIO_get_mem_data(bio, &data);
		pem = len > 0 ? strndup(data, (size_t)len) : NULL;
	}
	BIO_free(bio);
	ERR_clear_error();
	return pem;
}
