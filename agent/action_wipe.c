#include "agent/action.h"
#include "agent/executor.h"

#include <string.h>

// Guarded three times: the configuration lists it, the command names this very device, and (on Linux, which has nothing
// of the kind) somebody has said by which program.
static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	char *const *command = plan->options->wipe_command;
	if (strcmp(plan_text(params, "device"), plan->device) != 0)
		return error_set(error, ERROR_DENIED, "\"device\" must be this device's own id, %s", plan->device);
	plan->outlives = true;
	if (command && command[0]) {
		if (!plan_path(plan, command[0], error))
			return false;
		plan_add_list(plan, command + 1);
		return true;
	}
	if (!plan->android)
		return error_set(error, ERROR_NOT_FOUND,
				 "this device's configuration has no wipe_command, which says how it is wiped");
	if (!plan_tool(plan, error, "am", NULL))
		return false;
	plan_add(plan, "broadcast", "-p", "android", "-a", "android.intent.action.FACTORY_RESET", "-f", "0x10000000",
		 NULL);
	return true;
}

const struct agent_action action_wipe = {.name = "wipe", .plan = plan, .alone = true};
