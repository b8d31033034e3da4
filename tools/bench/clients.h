// HTTP clients for the bridge: connections that are kept alive, each with one request under way. One thread.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "tools/bench/load.h"
#include "tools/bench/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENTS_REQUEST_BYTES = 8192 };

struct clients;

struct clients_options {
	int port;
	size_t connections;
	struct wire_tls *tls;
};

struct clients *clients_new(const struct clients_options *options, struct error *error) must_check; // connects all
void clients_free(struct clients *clients);
DEFINE_CLEANUP(struct clients, clients_free)

struct clients_phase {
	double rate;	     // requests/s; 0: each connection asks again as soon as it is answered
	int64_t duration_ms; // 0: until there are no more requests
	// Writes request number `number` into out; returns its bytes, or 0 when there are no more.
	size_t (*request)(void *user, int64_t number, char *out, size_t out_bytes);
	// What came back; NULL: only counted.
	void (*answer)(void *user, int64_t number, int status, const char *body, size_t body_bytes);
	void *user;
};

struct clients_result {
	double elapsed_s;
	int64_t answered; // with a status of success
	int64_t refused;  // with any other
	int refusal;	  // one of these statuses
	struct load_latency latency; // from when a request was due until its answer
};

bool clients_run(struct clients *clients, const struct clients_phase *phase, struct clients_result *out,
		 struct error *error) must_check;
