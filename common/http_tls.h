// The TLS side of an HTTP server: its certificate, and whose client certificates it takes. Certificates change while
// the server runs: the files are looked at again with the connections that come, and what is new counts for those. For
// common/http.c.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct ssl_st; // OpenSSL's SSL
struct http_tls;

struct http_tls_files {
	const char *cert_file, *key_file; // PEM; the certificate may be followed by its chain
	const char *client_ca_file;	  // NULL: no client certificate is asked for
};

// The strings are copied.
struct http_tls *http_tls_new(const struct http_tls_files *files, struct error *error) must_check;
void http_tls_free(struct http_tls *tls);
DEFINE_CLEANUP(struct http_tls, http_tls_free)

enum http_tls_change { HTTP_TLS_SAME, HTTP_TLS_CHANGED, HTTP_TLS_BROKEN };
// Looks at the files, at most once a second; when one has changed, reads them all. HTTP_TLS_BROKEN, with error, when
// what is there now cannot be used (a certificate and its key are two files: it may be a moment in between); what was
// read before stays in use, and the next look tries again.
enum http_tls_change http_tls_refresh(struct http_tls *tls, struct error *error);

// For a connection to accept; the caller's (SSL_free). NULL when memory ran out.
struct ssl_st *http_tls_accept(struct http_tls *tls) must_check;
// The verified certificate of the other side in PEM, malloc'd; NULL without one.
char *http_tls_peer(const struct ssl_st *ssl) must_check;
