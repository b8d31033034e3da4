// What the device can be ordered to do. One file each, action_<name>.c, ending in its registration row; action.c lists
// the rows. Names, parameters and their checks are those of common/action.h.
#pragma once

#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>

struct executor;

struct agent_action {
	const char *name;
	// Exactly one of the two. run acts at once, within an open transaction of the outbox that also takes the
	// result; it must be harmless to run again. argv gives the program that acts; the strings stay the executor's.
	bool (*run)(struct executor *executor, const struct json *params, struct json *output, struct error *error);
	char *const *(*argv)(struct executor *executor);
	// argv only: after a restart of the agent, whether the command took effect.
	bool (*took_effect)(struct executor *executor, const char *boot_id_then);
};

extern const struct agent_action action_ping, action_reboot, action_set_interval;

// NULL when this agent has no such action.
const struct agent_action *agent_action_find(const char *name);
// Refuses a list of allowed actions that names one this agent does not have.
bool agent_action_check_list(char *const *names, struct error *error) must_check;
