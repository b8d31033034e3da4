// What has come before: numbers at or below an epoch's mark. They are recognised by the ledger and not by their rows,
// which retention may have removed.
#pragma once

#include "ingest/copy.h"
#include "ingest/summary.h"

bool repetition_prepare(struct pg *pg, struct error *error) must_check; // at each connect

// In the transaction of the batch, after ledger_lock: marks the stamps of rows that are not to be stored again, and
// counts them as duplicates; *repetitions: how many. What a device had declared dropped and sends after all has not
// come before; that sets epoch_summary.revived. Costs nothing while every epoch of a batch begins above its mark.
bool repetition_find(struct copy *copy, struct pg *pg, struct summary *summary, struct message *messages, size_t count,
		     size_t *repetitions, struct error *error) must_check;
