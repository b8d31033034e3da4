#include "tools/bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUT_MIN_BYTES ((size_t)1024)

struct wire_tls {
	SSL_CTX *context;
};

static bool tls_error(struct error *error, const char *doing)
{
	char text[160];
	unsigned long code = ERR_get_error();
	ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return error_set(error, ERROR_FAILED, "%s: %s", doing, code ? text : "the connection was closed");
}

static struct wire_tls *make_tls(const SSL_METHOD *method, struct error *error)
{
	struct wire_tls *tls = calloc(1, sizeof(*tls));
	if (tls)
		tls->context = SSL_CTX_new(method);
	if (!tls || !tls->context) {
		wire_tls_free(tls);
		(void)tls_error(error, "cannot set up TLS");
		return NULL;
	}
	SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					       SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
	return tls;
}

struct wire_tls *wire_tls_client(const char *ca_file, const char *key_file, struct error *error)
{
	struct wire_tls *tls cleanup(wire_tls_free_cleanup) = make_tls(TLS_client_method(), error);
	if (!tls)
		return NULL;
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(tls->context, ca_file, NULL) == 1 &&
	    SSL_CTX_use_PrivateKey_file(tls->context, key_file, SSL_FILETYPE_PEM) == 1)
		return steal(tls);
	(void)tls_error(error, "cannot read the CA or the key");
	return NULL;
}

struct wire_tls *wire_tls_server(const char *cert_file, const char *key_file, struct error *error)
{
	struct wire_tls *tls cleanup(wire_tls_free_cleanup) = make_tls(TLS_server_method(), error);
	if (!tls)
		return NULL;
	if (SSL_CTX_use_certificate_chain_file(tls->context, cert_file) == 1 &&
	    SSL_CTX_use_PrivateKey_file(tls->context, key_file, SSL_FILETYPE_PEM) == 1)
		return steal(tls);
	(void)tls_error(error, "cannot read the certificate or the key");
	return NULL;
}

void wire_tls_free(struct wire_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

static void use_certificate(SSL *ssl, const char *cert_pem)
{
	BIO *bio = BIO_new_mem_buf(cert_pem, -1);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	if (cert)
		(void)SSL_use_certificate(ssl, cert); // the handshake fails without it, and says so
	X509_free(cert);
	BIO_free(bio);
}

static bool begin(struct wire *wire, int fd, struct wire_tls *tls, size_t in_max, struct error *error)
{
	int on = 1;
	*wire = (struct wire){.fd = fd, .wants_out = true, .in_max = in_max};
	wire->in = malloc(in_max);
	if (!wire->in)
		return error_errno(error, ENOMEM, "cannot make a connection");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!tls)
		return true;
	wire->ssl = SSL_new(tls->context);
	return (wire->ssl && SSL_set_fd(wire->ssl, fd) == 1) || tls_error(error, "cannot make a TLS connection");
}

bool wire_connect(struct wire *wire, int port, struct wire_tls *tls, const char *cert_pem, size_t in_max,
		  struct error *error)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	*wire = (struct wire){.fd = -1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(error, errno, "cannot make a socket");
	if (!begin(wire, fd, tls, in_max, error))
		return false;
	if (wire->ssl) {
		SSL_set_connect_state(wire->ssl);
		use_certificate(wire->ssl, cert_pem);
	}
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS)
		return true;
	return error_errno(error, errno, "cannot connect to port %d", port);
}

bool wire_accept(struct wire *wire, int fd, struct wire_tls *tls, size_t in_max, struct error *error)
{
	if (!begin(wire, fd, tls, in_max, error))
		return false;
	if (wire->ssl)
		SSL_set_accept_state(wire->ssl);
	wire->greeted = !wire->ssl;
	return true;
}

void wire_close(struct wire *wire)
{
	SSL_free(wire->ssl);
	if (wire->fd >= 0)
		(void)close(wire->fd);
	free(wire->in);
	free(wire->out);
	*wire = (struct wire){.fd = -1};
}

bool wire_greet(struct wire *wire, struct error *error)
{
	int code = 0;
	socklen_t len_bytes = sizeof(code);
	if (wire->greeted)
		return true;
	if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &code, &len_bytes) != 0 || code != 0)
		return error_errno(error, code ? code : errno, "cannot connect");
	if (!wire->ssl) {
		wire->greeted = true;
		return true;
	}
	ERR_clear_error();
	int rc = SSL_do_handshake(wire->ssl);
	if (rc == 1) {
		wire->greeted = true;
		return true;
	}
	int reason = SSL_get_error(wire->ssl, rc);
	wire->wants_out = reason == SSL_ERROR_WANT_WRITE;
	return reason == SSL_ERROR_WANT_READ || wire->wants_out || tls_error(error, "the TLS handshake failed");
}

void wire_put(struct wire *wire, const void *data, size_t len_bytes)
{
	if (wire->out_from > 0 && wire->out_from == wire->out_bytes)
		wire->out_from = wire->out_bytes = 0;
	if (wire->out_bytes + len_bytes > wire->out_max) {
		size_t max = wire->out_max ? wire->out_max : OUT_MIN_BYTES;
		while (max < wire->out_bytes + len_bytes)
			max *= 2;
		wire->out = realloc(wire->out, max);
		if (!wire->out)
			abort();
		wire->out_max = max;
	}
	memcpy(wire->out + wire->out_bytes, data, len_bytes);
	wire->out_bytes += len_bytes;
}

// > 0: bytes; 0: would block; < 0: over
static ssize_t send_some(struct wire *wire, const void *data, size_t len_bytes)
{
	if (!wire->ssl) {
		ssize_t sent = send(wire->fd, data, len_bytes, MSG_NOSIGNAL);
		return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
	}
	int rc = SSL_write(wire->ssl, data, (int)len_bytes);
	if (rc > 0)
		return rc;
	int reason = SSL_get_error(wire->ssl, rc);
	return reason == SSL_ERROR_WANT_WRITE || reason == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool wire_flush(struct wire *wire, struct error *error)
{
	while (wire->out_from < wire->out_bytes) {
		ssize_t sent = send_some(wire, wire->out + wire->out_from, wire->out_bytes - wire->out_from);
		if (sent < 0)
			return error_set(error, ERROR_UNREACHABLE, "a connection was lost while sending");
		if (sent == 0)
			break;
		wire->out_from += (size_t)sent;
	}
	wire->wants_out = wire->out_from < wire->out_bytes;
	return true;
}

static ssize_t receive_some(struct wire *wire, void *data, size_t max_bytes)
{
	if (!wire->ssl) {
		ssize_t got = recv(wire->fd, data, max_bytes, 0);
		if (got == 0)
			return -1;
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : got;
	}
	int rc = SSL_read(wire->ssl, data, (int)max_bytes);
	if (rc > 0)
		return rc;
	int reason = SSL_get_error(wire->ssl, rc);
	return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool wire_read(struct wire *wire, bool *more, struct error *error)
{
	*more = false;
	if (wire->in_from > 0) {
		wire->in_bytes -= wire->in_from;
		memmove(wire->in, wire->in + wire->in_from, wire->in_bytes);
		wire->in_from = 0;
	}
	while (wire->in_bytes < wire->in_max) {
		ssize_t got = receive_some(wire, wire->in + wire->in_bytes, wire->in_max - wire->in_bytes);
		if (got < 0)
			return error_set(error, ERROR_UNREACHABLE, "the broker closed a connection");
		if (got == 0)
			return true;
		wire->in_bytes += (size_t)got;
		if (!wire->ssl && wire->in_bytes < wire->in_max)
			return true; // a short read: the socket is empty
	}
	*more = true;
	return true;
}

const uint8_t *wire_data(const struct wire *wire, size_t *len_bytes)
{
	*len_bytes = wire->in_bytes - wire->in_from;
	return wire->in + wire->in_from;
}

void wire_take(struct wire *wire, size_t len_bytes)
{
	wire->in_from += len_bytes;
}
