// How far each epoch of each device is committed without a gap (docs/protocol.md, section 7).
#pragma once

#include "ingest/copy.h"
#include "ingest/summary.h"

bool ledger_prepare(struct pg *pg, struct error *error) must_check; // at each connect

// The three steps of a transaction, around the inserts. ledger_lock takes in what came and moves the marks that move
// without a look at the tables; it holds the epochs' rows until COMMIT, so that two programs never work on one at the
// same time. ledger_close_gaps goes on where a mark waits behind a gap or a device has dropped messages: it must see
// the rows inserted. Both leave the marks in the summary.
bool ledger_lock(struct copy *copy, struct pg *pg, struct summary *summary, struct error *error) must_check;
bool ledger_close_gaps(struct copy *copy, struct pg *pg, struct summary *summary, struct error *error) must_check;
