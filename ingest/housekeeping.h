// Partitions, hourly rollups and retention: everything that the database needs done from time to time. A thread of its
// own with a connection of its own, so that nothing of it can hold up the loop; of several ingests one does the work.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/metrics.h"

#include <stdbool.h>

struct housekeeping;

struct housekeeping_options {
	const char *conninfo;
	long rollup_every_s;
	// What is kept, in days.
	long telemetry_days, event_days, rollup_days, quarantine_days, command_days;
	struct metrics *metrics;
};

// options are copied, conninfo included.
struct housekeeping *housekeeping_new(const struct housekeeping_options *options, struct error *error) must_check;
// Ends the thread; a statement under way is abandoned, which its transaction makes harmless.
void housekeeping_free(struct housekeeping *housekeeping);
DEFINE_CLEANUP(struct housekeeping, housekeeping_free)

bool housekeeping_start(struct housekeeping *housekeeping, struct error *error) must_check; // the thread

// One round by the calling thread, which must be the only one: partitions first, then rollups, then what has expired.
// All is tried; on failure error is the first one. Nothing is done, and nothing wrong, while another ingest is at it.
bool housekeeping_round(struct housekeeping *housekeeping, struct error *error) must_check;

// Brings the metrics up to date; for the thread that owns them.
void housekeeping_report(struct housekeeping *housekeeping);
