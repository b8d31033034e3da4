#include "agent/action.h"

static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	const char *service = plan_text(params, "service");
	if (plan->android)
		return error_set(error, ERROR_NOT_FOUND, "Android has no services that can be restarted by name");
	if (!plan_check_unit(service, error) || !plan_tool(plan, error, "systemctl", NULL))
		return false;
	plan->time_s = 240; // systemd itself waits 90 s for the end and as long for the start
	plan_add(plan, "--no-ask-password", "restart", "--", service, NULL);
	return true;
}

const struct agent_action action_restart_service = {.name = "restart_service", .plan = plan};
