// Gives queued commands their number and signature, and sends them: what the policy of their device lets go now.
// Numbers are given here and nowhere else, in the order in which commands go out, because a device takes none below the
// highest that it has seen.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction. devices: a text[] literal. *more: the batch was full, so there may be more to send.
bool issue_run(struct commander *commander, const char *devices, bool *more, struct error *error) must_check;
