// The client's side of TLS with a credential that is in memory and in no file: TLS 1.2 or later, the server's
// certificate and name are checked, none of the system's authorities count.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/signature.h"

#include <stdbool.h>

struct tls;

// PEM texts; not kept.
struct tls_credential {
	const char *key, *certificate; // both NULL: no client certificate
	const char *ca;                // the only authorities trusted
};

// host: the name or address that the server's certificate must be for.
struct tls *tls_new(const char *host, const struct tls_credential *credential, struct error *error) must_check;
void tls_free(struct tls *tls);
DEFINE_CLEANUP(struct tls, tls_free)
// For the connections made from now on. On failure what was there before still counts.
bool tls_set(struct tls *tls, const struct tls_credential *credential, struct error *error) must_check;
// Signs with the key of the credential in use (signature.h). ERROR_NOT_FOUND without one.
bool tls_sign(const struct tls *tls, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
	      struct error *error) must_check;
// Whether the server can be reached, is the right one, and takes our certificate; connects and says nothing more.
// ERROR_UNREACHABLE, ERROR_TIMEOUT, or ERROR_DENIED when one of the two does not trust the other: error->code is then 0
// when it is the server.
bool tls_probe(struct tls *tls, const char *host, int port, int timeout_ms, struct error *error) must_check;
// Writes to a connection (OpenSSL's SSL) that a library made, all or nothing; after false it can only be closed.
bool tls_write(void *connection, const void *data, int len_bytes) must_check;
// OpenSSL's SSL_CTX, for a library that takes one.
void *tls_context(struct tls *tls);
