// What devices say about their commands: rows of command_result that ingest has stored and that were not yet applied.
#pragma once

#include "commander/transition.h"

struct commander;

// What one result means for its command. NULL: the move from current to *to is to be made; otherwise why nothing is to
// be done. current is the command's state; owner its device; sent whether it ever went out.
const char *result_judge(const char *said, const char *device, const char *owner, bool sent,
			 enum command_state current, enum command_state *to);

// Inside the transaction; clears DUE_RESULTS when none is left.
bool result_run(struct commander *commander, struct error *error) must_check;
