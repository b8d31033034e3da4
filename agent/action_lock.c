#include "agent/action.h"

// Android: the screen goes off, and with it the device is locked as its owner has set it.
static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	if (!plan_tool(plan, error, plan->android ? "input" : "loginctl", NULL))
		return false;
	if (plan->android)
		plan_add(plan, "keyevent", "KEYCODE_SLEEP", NULL);
	else
		plan_add(plan, "--no-ask-password", "lock-sessions", NULL);
	return true;
}

const struct agent_action action_lock = {.name = "lock", .plan = plan};
