// The latest known of each device (table device_state), and which devices there are.
#pragma once

#include "ingest/copy.h"
#include "ingest/summary.h"

bool state_prepare(struct pg *pg, struct error *error) must_check; // at each connect

// Copies the summary's devices to the transaction, and names those that may not report: *strangers rows of (number in
// summary->devices, reason). With auto_register unknown ones are registered instead.
bool state_stage(struct copy *copy, struct pg *pg, const struct summary *summary, bool auto_register,
		 struct pg_result **strangers, struct error *error) must_check;
// Brings device_state up to date from what was staged.
bool state_update(struct pg *pg, struct error *error) must_check;
