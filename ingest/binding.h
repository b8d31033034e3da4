// A certificate belongs to one machine: each hello says the fingerprint of the hardware, which is compared with the one
// that the device is bound to. A device without one is bound by its first hello.
#pragma once

#include "ingest/message.h"

#include "common/metrics.h"
#include "common/pg.h"

#include <stdbool.h>
#include <stddef.h>

#define FINGERPRINT_BYTES 65 // SHA-256 in hex, and the terminator

struct binding {
	long mismatch_max; // so many sessions that say another fingerprint, and the device is disabled and revoked
	struct metric *mismatches, *revoked;
	size_t mismatched, disabled; // in this transaction
};

void binding_init(struct binding *binding, long mismatch_max, struct metrics *metrics);
bool binding_prepare(struct pg *pg, struct error *error) must_check; // at each connect
// Inside the transaction, before device states are touched. Costs nothing in a batch without fingerprints. What comes
// of a mismatch: an event, a count, the session cut (by commander, told by a notification).
bool binding_check(struct binding *binding, struct pg *pg, const struct message *messages, size_t count,
		   struct error *error) must_check;
void binding_committed(struct binding *binding);
