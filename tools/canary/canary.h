// The canary: a device of its own in each cell that has its own certificate revoked, on schedule and whenever somebody
// else's was, and sees whether the broker cuts it and lets it in no more. What it finds is a row of revocation_proof.
//
//   ENROLLING -> REPORTING -> PROVING -> (the finding is written) -> ENROLLING
//
// The revoked certificate's key is wiped then. One MQTT connection at a time: the session, or a try to come back.
#pragma once

#include "common/http.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/mqtt.h"
#include "common/part_state.h"
#include "common/pg.h"
#include "tools/canary/due.h"
#include "tools/canary/identity.h"
#include "tools/canary/options.h"
#include "tools/canary/proof.h"
#include "tools/canary/report.h"

#include <stdbool.h>
#include <stdint.h>

enum canary_phase { CANARY_ENROLLING, CANARY_REPORTING, CANARY_PROVING, CANARY_WRITING };

struct canary {
	const struct options *options;
	char device[DEVICE_ID_MAX + 1];
	struct loop *loop;
	struct loop_timer *tick;
	struct loop_watch *mqtt_watch, *pg_watch;
	int mqtt_fd;
	bool pg_changed; // connected anew: another descriptor
	struct pg *pg;
	struct mqtt *mqtt; // NULL: no session, and no try to have one
	struct http_server *http;
	struct metrics *metrics;

	enum canary_phase phase;
	struct identity identity;
	struct report report;
	struct due due;
	struct proof proof;
	int64_t change; // of the revocations known; -1: not asked yet
	bool news;	// there may be some
	bool ended;	// the session has, since the last turn
	bool denied;	// by the broker, which said so
	bool admitted;	// by the broker
	int64_t retry_ms; // what failed is not tried again before
	struct part_state part;
	double cut_s;	// of the last proof; below 0: none
	bool proven;	// there was a proof, and
	bool ok;	// it held
	struct log_fault fault, broker_fault, part_fault;
};

bool canary_init(struct canary *canary, const struct options *options, struct error *error) must_check;
void canary_done(struct canary *canary);

// status.c: /health and /metrics.
bool status_start(struct canary *canary, struct error *error) must_check;
// Into part_state, when it is time.
void status_tell(struct canary *canary);
// What a proof has come to, for the metrics.
void status_count(struct canary *canary, bool ok);
