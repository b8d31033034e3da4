// After a start: what operators may not have heard, because the commander before was killed between its COMMIT and its
// publishing. They are told the last state of what moved within the last seconds before.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction; clears DUE_RETELL.
bool retell_run(struct commander *commander, struct error *error) must_check;
