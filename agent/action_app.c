// launch_app, stop_app, restart_app. A watched app that was stopped by an order stays stopped until one starts it.
#include "agent/action.h"
#include "agent/app.h"

static bool launch(struct plan *plan, const struct json *params, struct error *error)
{
	plan->time_s = 100;
	return app_start(plan, plan_text(params, "app"), error);
}

static bool stop(struct plan *plan, const struct json *params, struct error *error)
{
	plan->time_s = 100;
	return app_stop(plan, plan_text(params, "app"), error);
}

static bool restart(struct plan *plan, const struct json *params, struct error *error)
{
	plan->time_s = 200;
	return app_stop(plan, plan_text(params, "app"), error) && app_start(plan, plan_text(params, "app"), error);
}

const struct agent_action action_launch_app = {.name = "launch_app", .plan = launch, .app = APP_STARTED};
const struct agent_action action_stop_app = {.name = "stop_app", .plan = stop, .app = APP_STOPPED};
const struct agent_action action_restart_app = {.name = "restart_app", .plan = restart, .app = APP_STARTED};
