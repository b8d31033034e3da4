// One connection of the load generator, its counting subscriber or its null sink: non-blocking, plain or TLS.
#pragma once

#include "common/error.h"
#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_tls; // what connections of one side share

// Clients: the CA of the server, and one key for all of them. Their certificates are each connection's own.
struct wire_tls *wire_tls_client(const char *ca_file, const char *key_file, struct error *error) must_check;
struct wire_tls *wire_tls_server(const char *cert_file, const char *key_file, struct error *error) must_check;
void wire_tls_free(struct wire_tls *tls);
DEFINE_CLEANUP(struct wire_tls, wire_tls_free)

struct wire {
	int fd; // -1: none
	void *ssl;
	bool greeted;  // TCP, and TLS where there is any, are established
	bool wants_out; // what must be watched for besides reading
	uint8_t *out;   // not sent yet: out_from to out_bytes
	size_t out_from, out_bytes, out_max;
	uint8_t *in; // not taken yet: in_from to in_bytes
	size_t in_from, in_bytes, in_max;
};

// Begins to connect to 127.0.0.1. tls NULL: plain. cert_pem: this client's certificate. in_max: of its buffer.
bool wire_connect(struct wire *wire, int port, struct wire_tls *tls, const char *cert_pem, size_t in_max,
		  struct error *error) must_check;
bool wire_accept(struct wire *wire, int fd, struct wire_tls *tls, size_t in_max, struct error *error) must_check;
void wire_close(struct wire *wire);
// Goes on establishing; false when the peer refused or is gone. Call at each event until greeted.
bool wire_greet(struct wire *wire, struct error *error) must_check;
// Queues.
void wire_put(struct wire *wire, const void *data, size_t len_bytes);
bool wire_flush(struct wire *wire, struct error *error) must_check;
// Reads what there is; false when the connection is over. *more: the buffer is full, and there may be more.
bool wire_read(struct wire *wire, bool *more, struct error *error) must_check;
// What was read and not taken yet.
const uint8_t *wire_data(const struct wire *wire, size_t *len_bytes);
void wire_take(struct wire *wire, size_t len_bytes);
