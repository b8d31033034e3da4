// The running agent: one thread, one poll loop around the MQTT session, the heartbeat and a child of the executor.
#pragma once

#include "agent/options.h"
#include "common/error.h"

#include <stdbool.h>

// Runs until SIGTERM or SIGINT. crash_at: see crash.h; may be NULL. *leave: it ended because the device was ordered to
// leave the fleet; what enrolment left is still there.
bool agent_run(const struct agent_options *options, const char *crash_at, bool *leave, struct error *error) must_check;
