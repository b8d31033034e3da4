// Campaigns: finds their devices, a batch a turn, and requests their commands as the rollout allows. What it makes are
// ordinary rows of `command` in the state `requested`; everything else happens to them as to all others.
//
// A campaign's row is locked while it is worked on, and another commander passes it by. Each batch is a transaction
// with the place reached in it, so that a commander that dies is followed by one that goes on there; and the keys of
// campaign_target and of command say that no device gets it twice.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction, last; clears DUE_CAMPAIGNS when there is nothing to do before the next tick.
bool sweep_run(struct commander *commander, struct error *error) must_check;
