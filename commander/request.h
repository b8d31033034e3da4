// Requests: rows of `command` in the state `requested`, whoever put them there. Each is checked and queued, for now or
// for when it may begin.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction; clears DUE_REQUESTS when none is left.
bool request_run(struct commander *commander, struct error *error) must_check;
