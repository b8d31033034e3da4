// Which command is on its way to which device: at most one per device, in the order of n; published again, byte for
// byte, until the device answers or the command expires. A device that is away gets one copy: its session in the broker
// holds it, and when it comes online it gets another.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction. Each looks at a batch and clears what it is done with: commander->online and ->freed,
// DUE_DISPATCH, DUE_RESEND, DUE_RESEND_ALL. They do nothing without a connection to the broker.
bool dispatch_run(struct commander *commander, struct error *error) must_check;
