#include "common/tls.h"

#include "common/crypto.h"
#include "common/key.h"
#include "common/limits.h"
#include "common/openssl_cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct tls {
	SSL_CTX *context;
};

DEFINE_OPENSSL_CLEANUP(X509_STORE, store, X509_STORE_free)
#define auto_pkey cleanup(pkey_cleanup)
#define auto_bio cleanup(bio_cleanup)
#define auto_x509 cleanup(x509_cleanup)
#define auto_store cleanup(store_cleanup)

static X509_STORE *read_authorities(const char *pem, struct error *error)
{
	X509_STORE *store auto_store = X509_STORE_new();
	BIO *bio auto_bio = BIO_new_mem_buf(pem, -1);
	size_t count = 0;
	for (; store && bio; count++) {
		X509 *authority auto_x509 = PEM_read_bio_X509(bio, NULL, key_no_passphrase, NULL);
		if (!authority)
			break;
		if (X509_STORE_add_cert(store, authority) != 1) {
			(void)crypto_fail(error, "cannot trust an authority");
			return NULL;
		}
	}
	ERR_clear_error(); // the end of the text is an error to OpenSSL
	if (count > 0)
		return steal(store);
	(void)error_set(error, ERROR_INVALID, "there is no authority to trust: no certificate in PEM form");
	return NULL;
}

static bool check_name(SSL_CTX *context, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context); // copied into each connection
	struct in6_addr address;
	if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

struct tls *tls_new(const char *host, const struct tls_credential *credential, struct error *error)
{
	struct tls *tls cleanup(tls_free_cleanup) = calloc(1, sizeof(*tls));
	if (tls)
		tls->context = SSL_CTX_new(TLS_client_method());
	if (!tls || !tls->context || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1 ||
	    !check_name(tls->context, host)) {
		(void)crypto_fail(error, "cannot set up TLS");
		return NULL;
	}
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_options(tls->context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(tls->context, SSL_MODE_RELEASE_BUFFERS); // an idle connection keeps none
	return tls_set(tls, credential, error) ? steal(tls) : NULL;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

bool tls_set(struct tls *tls, const struct tls_credential *credential, struct error *error)
{
	X509_STORE *store auto_store = read_authorities(credential->ca, error);
	if (!store)
		return false;
	if (credential->key) {
		EVP_PKEY *key auto_pkey = key_parse(credential->key, "the key", error);
		BIO *bio auto_bio = BIO_new_mem_buf(credential->certificate, -1);
		X509 *certificate auto_x509 = bio ? PEM_read_bio_X509(bio, NULL, key_no_passphrase, NULL) : NULL;
		ERR_clear_error();
		if (!key)
			return false;
		if (!certificate)
			return error_set(error, ERROR_INVALID, "not a certificate in PEM form");
		// Sets both or nothing; refuses a key that does not belong to the certificate.
		if (SSL_CTX_use_cert_and_key(tls->context, certificate, key, NULL, 1) != 1)
			return crypto_fail(error, "the certificate and the key can't be used together");
	}
	SSL_CTX_set_cert_store(tls->context, steal(store)); // owned by the context now
	return true;
}

bool tls_sign(const struct tls *tls, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
	      struct error *error)
{
	EVP_PKEY *key = SSL_CTX_get0_privatekey(tls->context);
	if (!key)
		return error_set(error, ERROR_NOT_FOUND, "there is no key to sign with");
	return signature_make(key, data, len_bytes, out, error);
}

static int dial_one(const struct addrinfo *address, int timeout_ms)
{
	const struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000L};
	int fd auto_close = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 || // connect heeds it too
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
	    connect(fd, address->ai_addr, address->ai_addrlen) != 0)
		return -1;
	return steal_fd(fd);
}

static int dial(const char *host, int port, int timeout_ms, struct error *error)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char service[16];
	int fd = -1;
	(void)snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(host, service, &hints, &list) != 0) {
		(void)error_set(error, ERROR_UNREACHABLE, "the name %s does not resolve", host);
		return -1;
	}
	errno = 0;
	for (const struct addrinfo *at = list; at && fd < 0; at = at->ai_next)
		fd = dial_one(at, timeout_ms);
	int code = errno;
	freeaddrinfo(list);
	if (fd < 0 && (code == EINPROGRESS || code == EAGAIN))
		(void)error_set(error, ERROR_TIMEOUT, "%s port %d does not answer", host, port);
	else if (fd < 0)
		(void)error_errno(error, code, "cannot connect to %s port %d", host, port);
	return fd;
}

DEFINE_OPENSSL_CLEANUP(SSL, ssl, SSL_free)

// After a call that failed. The peer's alerts have reasons of their own (RFC 8446 section 6).
static bool describe(SSL *ssl, int ret, struct error *error)
{
	int code = SSL_get_error(ssl, ret);
	unsigned long first = ERR_peek_error();
	long verified = SSL_get_verify_result(ssl);
	if (verified != X509_V_OK) {
		ERR_clear_error();
		(void)error_set(error, ERROR_DENIED, "the server's certificate is not to be trusted: %s",
				X509_verify_cert_error_string(verified));
		if (error)
			error->code = (int)verified;
		return false;
	}
	if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE ||
	    (code == SSL_ERROR_SYSCALL && (errno == EAGAIN || errno == EWOULDBLOCK)))
		return error_set(error, ERROR_TIMEOUT, "the server does not finish the TLS handshake");
	if (code == SSL_ERROR_SSL && ERR_GET_REASON(first) >= SSL_AD_REASON_OFFSET) {
		ERR_clear_error();
		return error_set(error, ERROR_DENIED, "the server does not take our certificate: %s",
				 ERR_reason_error_string(first));
	}
	(void)crypto_fail(error, "the TLS handshake failed");
	if (error)
		error->kind = ERROR_UNREACHABLE;
	return false;
}

bool tls_probe(struct tls *tls, const char *host, int port, int timeout_ms, struct error *error)
{
	int fd auto_close = dial(host, port, timeout_ms, error);
	SSL *ssl cleanup(ssl_cleanup) = fd >= 0 ? SSL_new(tls->context) : NULL;
	if (fd < 0)
		return false;
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_set_tlsext_host_name(ssl, host) != 1)
		return crypto_fail(error, "cannot set up TLS");
	ERR_clear_error();
	int ret = SSL_connect(ssl);
	if (ret != 1)
		return describe(ssl, ret, error);
	// In TLS 1.3 the server judges our certificate after this. Whoever takes it answers our goodbye, or hangs up.
	char ignored;
	(void)SSL_shutdown(ssl);
	ERR_clear_error();
	ret = SSL_read(ssl, &ignored, 1);
	if (ret <= 0 && SSL_get_error(ssl, ret) == SSL_ERROR_SSL &&
	    ERR_GET_REASON(ERR_peek_error()) >= SSL_AD_REASON_OFFSET)
		return describe(ssl, ret, error);
	ERR_clear_error();
	return true;
}

bool tls_write(void *connection, const void *data, int len_bytes)
{
	bool written = SSL_write(connection, data, len_bytes) == len_bytes;
	ERR_clear_error();
	return written;
}

void *tls_context(struct tls *tls)
{
	return tls->context;
}
