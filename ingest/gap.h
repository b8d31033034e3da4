// What is missing below the highest seq of an epoch (table ledger_gap), so that people see it. The marks that devices
// are told do not hang on it. Costs nothing while every epoch of a batch goes on where it stood.
#pragma once

#include "ingest/copy.h"
#include "ingest/summary.h"

#include <stdint.h>

bool gap_prepare(struct pg *pg, struct error *error) must_check; // at each connect

// Whether an epoch of this batch has a gap, or had one, or its device has dropped messages.
bool gap_any(const struct summary *summary);
// In the transaction of the batch. gap_begin, before the marks move: stages those epochs for ledger.c too (stage_gap:
// number, device, epoch, oldest, runs), opens new gaps, takes out what came late, and marks what was dropped. gap_end,
// after: closes what the marks have passed, and counts.
bool gap_begin(struct copy *copy, struct pg *pg, const struct summary *summary, struct error *error) must_check;
bool gap_end(struct pg *pg, const struct summary *summary, struct error *error) must_check;

// Marks as lost what is open longer than after_s; a transaction of its own. *lost rows of (device, epoch, from, to).
bool gap_lose(struct pg *pg, int64_t after_s, struct pg_result **lost, struct error *error) must_check;
