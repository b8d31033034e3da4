// Whether results are by the device that they are said to be of (docs/protocol.md, section 19).
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction, before result_run, which leaves alone what was not checked: gives each signed result its
// verdict. A wrong signature closes the result and becomes an event of the device.
// *more: there are others.
bool signature_run(struct commander *commander, bool *more, struct error *error) must_check;
