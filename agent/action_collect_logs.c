#include "agent/action.h"

#include <inttypes.h>
#include <stdio.h>

#define LINES 500

static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	int64_t lines = LINES;
	char text[24];
	(void)json_member_int(params, "lines", &lines);
	(void)snprintf(text, sizeof(text), "%" PRId64, lines);
	plan->time_s = 150;
	plan->sends_output = true;
	if (!plan_tool(plan, error, plan->android ? "logcat" : "journalctl", NULL))
		return false;
	if (plan->android)
		plan_add(plan, "-d", "-t", text, NULL);
	else
		plan_add(plan, "--no-pager", "--quiet", "-o", "short-iso", "-n", text, NULL);
	return true;
}

const struct agent_action action_collect_logs = {.name = "collect_logs", .plan = plan};
