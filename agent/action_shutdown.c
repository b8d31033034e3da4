#include "agent/action.h"
#include "agent/executor.h"

static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	plan->outlives = true;
	if (!plan_tool(plan, error, plan->android ? "svc" : "systemctl", NULL))
		return false;
	if (plan->android)
		plan_add(plan, "power", "shutdown", NULL);
	else
		plan_add(plan, "--no-ask-password", "poweroff", NULL);
	return true;
}

// It did when the machine was started again since.
const struct agent_action action_shutdown = {
	.name = "shutdown", .plan = plan, .took_effect = action_machine_restarted, .alone = true};
