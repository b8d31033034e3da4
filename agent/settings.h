// Options that set_config has changed: settings.json in state_dir, which counts for more than the configuration file.
// Only those that options.c marks as settable: nothing that says what this device may be ordered to do, or whom it
// obeys.
#pragma once

#include "agent/options.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>

// config: an object of options by name; null takes a setting back. ERROR_INVALID names the member and what it may be.
bool settings_check(const struct json *config, struct error *error) must_check;
// Adds config to settings.json, atomically. later, an array: gets the names of those that count from the next start on.
bool settings_store(const char *state_dir, const struct json *config, struct json *later,
		    struct error *error) must_check;
// What settings.json says, over options. A file that can't be used changes nothing.
bool settings_load(struct agent_options *options, struct error *error) must_check;
