// The latest known of each device (table device_state), and which devices there are.
#pragma once

#include "ingest/copy.h"
#include "ingest/presence.h"
#include "ingest/summary.h"

bool state_prepare(struct pg *pg, struct error *error) must_check; // at each connect

// Copies the summary's devices to the transaction, and names those that may not report: *strangers rows of (number in
// summary->devices, reason). With auto_register unknown ones are registered instead.
bool state_stage(struct copy *copy, struct pg *pg, const struct summary *summary, bool auto_register,
		 struct pg_result **strangers, struct error *error) must_check;
// Brings device_state up to date from what was staged.
bool state_update(struct pg *pg, const struct summary *summary, const struct presence_params *presence,
		  struct error *error) must_check;

// For statements that change presence: what they return as "told", and the rows of event for the changes among it. They
// name the cell when it is not the device's own.
#define STATE_TOLD_SQL(d)                                                                                  \
	d ".device, " d ".presence, " d ".presence_why, " d ".presence_since, " d ".session, " d           \
	  ".presence_count, " d ".presence_before, " d ".cell"
#define STATE_EVENTS_SQL                                                                                            \
	"noted as (insert into event (device, epoch, seq, ts, received_at, measured_at, type, body) "               \
	"select device, '-presence', presence_count, presence_since, now(), presence_since, "                       \
	"'presence.' || presence, jsonb_strip_nulls(jsonb_build_object('why', presence_why, 'session', session, "   \
	"'cell', nullif(cell, (select v.cell from device v where v.device = told.device)))) "                       \
	"from told where presence_count > presence_before on conflict do nothing)"
#define STATE_UNHELD_SQL                                                                             \
	"held_by = null, held_due_ms = null, held_grace = null, held_why = null, held_session = null, " \
	"held_at = null"
