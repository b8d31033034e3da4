// Commands whose time is over.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction; clears DUE_EXPIRY when none is left.
bool expiry_run(struct commander *commander, struct error *error) must_check;
