#include "agent/action.h"
#include "agent/executor.h"

#include <string.h>

// Where the configuration names no program of its own: what Android has instead of /sbin/reboot.
static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	char *const *command = plan->options->reboot_command;
	plan->outlives = true;
	if (plan->android && command && command[0] && strcmp(command[0], AGENT_REBOOT_DEFAULT) == 0) {
		if (!plan_tool(plan, error, "svc", NULL))
			return false;
		plan_add(plan, "power", "reboot", NULL);
		return true;
	}
	if (!command || !command[0])
		return error_set(error, ERROR_INVALID, "this device's configuration has an empty reboot_command");
	if (!plan_path(plan, command[0], error))
		return false;
	plan_add_list(plan, command + 1);
	return true;
}

bool action_machine_restarted(struct executor *executor, const char *boot_id_then)
{
	return *boot_id_then && strcmp(boot_id_then, executor->options.boot_id) != 0;
}

const struct agent_action action_reboot = {
	.name = "reboot", .plan = plan, .took_effect = action_machine_restarted, .alone = true};
