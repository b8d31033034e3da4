// What stands at the far end of the broker, or in its place, when a limit is measured. Each runs in a process of its
// own, as ingest does.
#pragma once

#include "common/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Shared between the processes.
struct peer_board {
	_Atomic bool ready;
	_Atomic int64_t delivered;
	_Atomic int64_t transactions; // of ingest; set before delivered
};

enum { PEER_WATCHED_MAX = 2 };

struct peer_options {
	struct peer_board *board;
	int port;
	int watched[PEER_WATCHED_MAX]; // ports of /metrics; 0: none
	size_t devices;
	// NULL: plain
	const char *ca_file, *cert_file, *key_file;
};

// The counting subscriber: takes every telemetry message as ingest does, in batches, acknowledges them, counts each
// once the broker has taken the acknowledgement, and publishes as many `stored` messages: one per device and second.
// Nothing else. Returns on failure only.
void peer_count(const struct peer_options *options, struct error *error);
// The null sink: accepts connections at the port, acknowledges everything, hands on nothing.
void peer_sink(const struct peer_options *options, struct error *error);
// Watches the running ingests: keeps board->delivered at the rows they have committed, as their /metrics say.
void peer_watch(const struct peer_options *options, struct error *error);
