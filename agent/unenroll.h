// "muster-agent unenroll": makes this device a stranger to its fleet again, by wiping what enrolment and the agent left
// in state_dir. The fleet is not told: muster device revoke does that.
#pragma once

#include "agent/options.h"
#include "common/error.h"

#include <stdbool.h>

// force: also while an agent runs, which goes on with what it has in memory until it is stopped. *wiped: how many
// files.
bool unenroll(const struct agent_options *options, bool force, int *wiped, struct error *error) must_check;
