// What goes to which device, and when again. A command is published, byte for byte as it was sent first, when its
// device comes online, and while the device is online and silent with growing distances; a device that is away gets one
// copy, which its session in the broker holds.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Inside the transaction. Each looks at a batch and clears what it is done with: commander->online and ->freed,
// DUE_DISPATCH, DUE_RESEND, DUE_RESEND_ALL. They do nothing without a connection to the broker.
bool dispatch_run(struct commander *commander, struct error *error) must_check;
