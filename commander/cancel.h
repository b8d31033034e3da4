// Commands that somebody wants cancelled (command.cancel_requested_at): one that no device has is cancelled at once; of
// one that was sent its device is asked, with a command `cancel` of commander's own, and says what came of it.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction; clears DUE_CANCEL when none is left.
bool cancel_run(struct commander *commander, struct error *error) must_check;
