// Alerts: whether what rules look for holds, and for how long it does (docs/decisions/0030-alerts.md).
//
// A turn takes one rule that is due, and of that a slice: the devices whose state changed since it last looked, at most
// some thousands, in one statement, however many devices there are. Who comes to hold gets a row of alert_watch with
// the time from which it has, told by a clock that runs only while that device could be seen; an alert is raised when
// that clock says that it has been long enough, and cleared when it has been over for a while. All of that is in the
// database: a commander that dies is followed by one that goes on there, and several share the rules by "for update
// skip locked".
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"

#include <stdbool.h>
#include <stdint.h>

struct commander;

struct alerts {
	int64_t ticked_ms; // monotonic: when the clocks were last moved on; 0: not yet
	int64_t tidied_ms;
	struct log_fault fault; // of a rule that cannot be evaluated
};

// Inside the transaction; clears DUE_ALERTS when there is nothing to do before the next tick.
bool alert_run(struct commander *commander, struct error *error) must_check;
