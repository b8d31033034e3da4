// The load: many devices, each a connection of its own that publishes telemetry with QoS 1 and listens to its stored
// topic, as an agent does. One thread.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "tools/bench/wire.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_DEVICE_FORMAT "bench-%05zu"
enum { LOAD_DEVICE_BYTES = 32 };

struct load;

struct load_options {
	int port;
	size_t connections;
	struct wire_tls *tls; // NULL: plain
	// The certificate of a device, PEM, when there is TLS.
	const char *(*certificate)(void *user, size_t number);
	void *user;
};

// Connects all, subscribes, and waits for each answer.
struct load *load_new(const struct load_options *options, struct error *error) must_check;
void load_free(struct load *load);
DEFINE_CLEANUP(struct load, load_free)

struct load_phase {
	double rate;	     // messages/s; 0: as many as are taken
	int64_t duration_ms; // or, when messages is set, until these are published and acknowledged
	int64_t messages;    // 0: by time
	// How many messages have come out at the far end since the last load_restart; NULL: they have when the broker
	// acknowledged them.
	const _Atomic int64_t *delivered;
	int64_t ahead_max; // rate 0: most messages published and not delivered
	bool answers;	   // measure from when a message is due until its answer says that it is stored
};

struct load_latency {
	int64_t samples;
	double p50_ms, p95_ms, p99_ms, max_ms;
};

struct load_result {
	double elapsed_s;
	int64_t published, delivered; // within the phase
	struct load_latency latency;
	int64_t unanswered; // of the measured messages, when the wait for them was over
};

bool load_run(struct load *load, const struct load_phase *phase, struct load_result *out,
	      struct error *error) must_check;
// Keeps the connections alive until all published messages are delivered, or timeout_ms are over (ERROR_TIMEOUT).
bool load_drain(struct load *load, const _Atomic int64_t *delivered, int timeout_ms, struct error *error) must_check;
// Counts anew from here on, beside a counter of deliveries that does so too, and with a new epoch: what came before
// did not go to ingest.
bool load_restart(struct load *load, struct error *error) must_check;
int64_t load_published(const struct load *load); // since the last load_restart
