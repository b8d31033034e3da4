// What the device can be ordered to do. One file each, action_<name>.c (those that do the same with another word share
// one), ending in its registration row; action.c lists the rows. Names, parameters and their checks are those of
// common/action.h.
#pragma once

#include "agent/plan.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>

struct executor;

struct agent_action {
	const char *name;
	// Exactly one of the two. run acts at once, within an open transaction of the outbox that also takes the
	// result; it must be harmless to run again. plan says which programs act.
	bool (*run)(struct executor *executor, const struct json *params, struct json *output, struct error *error);
	bool (*plan)(struct plan *plan, const struct json *params, struct error *error);
	// run only, NULL without: whether it can be done here; otherwise the command is rejected.
	bool (*check)(struct executor *executor, const struct json *params, struct error *error);
	// plan only, NULL without: makes the result of what the programs have printed.
	bool (*read)(const char *text, struct json *output, struct error *error);
	// plan only: after a restart of the agent, whether the command took effect.
	bool (*took_effect)(struct executor *executor, const char *boot_id_then);
	enum { APP_UNTOUCHED, APP_STOPPED, APP_STARTED } app; // plan only: what becomes of the parameter "app"
	bool alone;  // plan only: no other such action runs at the same time
	bool always; // no configuration forbids it
};

extern const struct agent_action action_ping, action_message, action_reboot, action_shutdown, action_lock, action_ring,
	action_locate, action_wipe, action_restart_service, action_launch_app, action_stop_app, action_restart_app,
	action_install_package, action_uninstall_package, action_run, action_set_config, action_set_interval,
	action_collect_logs, action_unenroll, action_cancel;

bool action_machine_restarted(struct executor *executor, const char *boot_id_then); // a took_effect

// NULL when this agent has no such action.
const struct agent_action *agent_action_find(const char *name);
// Refuses a list of allowed actions that names one this agent does not have.
bool agent_action_check_list(char *const *names, struct error *error) must_check;
