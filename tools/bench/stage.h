// What is measured, private to one run: PostgreSQL, the broker and ingest, with the settings that `muster up` gives
// them, in a temporary folder of their own. All of it is gone when this process is, however it ended.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/pg.h"
#include "tools/bench/peer.h"
#include "tools/bench/wire.h"
#include "tools/stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stage;

enum { STAGE_INGESTS_MAX = PEER_WATCHED_MAX };

struct stage_options {
	size_t devices;
	size_t ingests; // that share the broker's messages, up to STAGE_INGESTS_MAX
	bool tls;	// certificates are made
	bool known;	// and are in the database, as after enrolment
};

// Makes the folder, the database with so many devices, the certificates. As root it goes on as an unprivileged user.
struct stage *stage_new(const struct stage_options *options, struct error *error) must_check;
void stage_free(struct stage *stage);
DEFINE_CLEANUP(struct stage, stage_free)

// One broker at a time, empty at its start.
bool stage_broker_start(struct stage *stage, bool tls, struct error *error) must_check;
void stage_broker_stop(struct stage *stage);
// All of them started, connected and subscribed.
bool stage_ingest_start(struct stage *stage, bool tls, struct error *error) must_check;
void stage_ingest_stop(struct stage *stage);

// With TLS only. Connected to the broker. more: appended to its configuration; NULL: nothing.
bool stage_commander_start(struct stage *stage, const char *more, struct error *error) must_check;
void stage_commander_stop(struct stage *stage);
// With TLS only; connected to the broker. Devices have no limit of their own.
bool stage_bridge_start(struct stage *stage, struct error *error) must_check;
void stage_bridge_stop(struct stage *stage);
int stage_bridge_port(const struct stage *stage);
char *stage_csr(const struct stage *stage, struct error *error) must_check; // PEM of the devices' key; malloc'd
// With TLS only.
bool stage_dashboard_start(struct stage *stage, struct error *error) must_check;
int stage_dashboard_port(const struct stage *stage);
struct stack_path stage_dashboard_ca(const struct stage *stage); // of whoever signed its certificate
int64_t stage_dashboard_peak(const struct stage *stage);	 // of its memory
struct pg *stage_database(struct stage *stage);
const struct stack *stage_stack(const struct stage *stage); // its folder, programs and ports

// Runs one of peer.h's in a process of its own, until it is ready. board->delivered starts at 0.
typedef void stage_peer_fn(const struct peer_options *options, struct error *error);
bool stage_peer_start(struct stage *stage, stage_peer_fn *fn, bool tls, struct error *error) must_check;
void stage_peer_stop(struct stage *stage);
const struct peer_board *stage_board(const struct stage *stage);

int stage_device_port(const struct stage *stage, bool tls);
int stage_sink_port(const struct stage *stage);
struct wire_tls *stage_tls(const struct stage *stage); // NULL without
const char *stage_certificate(void *stage, size_t number); // PEM of a device
struct evp_pkey_st *stage_key(const struct stage *stage, struct error *error) must_check; // of all devices; key_free

bool stage_database_clear(struct stage *stage, struct error *error) must_check; // what was reported
bool stage_database_rows(struct stage *stage, int64_t *rows, int64_t *bytes, int64_t *wal_bytes,
			 struct error *error) must_check;

// What the processes have used so far.
struct stage_usage {
	double ingest_s, database_s, broker_s, bridge_s, commander_s;
	int64_t ingest_rss_bytes; // peak of its life, of the largest
};
void stage_usage(const struct stage *stage, struct stage_usage *out);
