// Where a push reaches this device: kept in state_dir, told in hello.
#pragma once

#include "agent/options.h"
#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

// malloc'd; "" when it was taken back, NULL when there never was one.
char *push_token_load(const char *state_dir);
bool push_token_store(const char *state_dir, const char *token, struct error *error) must_check;

// muster-agent wake.
bool push_wake(const struct agent_options *options, struct error *error) must_check;
// muster-agent push-token: through the running agent, or into its file when none runs. token: "" takes it back.
bool push_token_set(const struct agent_options *options, const char *token, struct error *error) must_check;
