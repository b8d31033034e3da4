#include "agent/action.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// Android: a timer of the device's own clock app, which rings until it is silenced; there is no program that only
// makes a noise.
static bool plan_android(struct plan *plan, struct error *error)
{
	if (!plan_tool(plan, error, "am", NULL))
		return false;
	plan_add(plan, "start", "-a", "android.intent.action.SET_TIMER", "--ei", "android.intent.extra.alarm.LENGTH",
		 "1", "--ez", "android.intent.extra.alarm.SKIP_UI", "true", NULL);
	return true;
}

static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	int64_t seconds = 1;
	char ms[24];
	(void)json_member_int(params, "seconds", &seconds);
	if (plan->android)
		return plan_android(plan, error);
	if (!plan_tool(plan, error, "speaker-test", "beep", NULL))
		return false;
	plan->time_s = seconds;
	plan->time_is_end = true;
	(void)snprintf(ms, sizeof(ms), "%" PRId64, seconds * 1000);
	if (strcmp(plan->steps[0].words[0], "beep") == 0)
		plan_add(plan, "-f", "880", "-l", ms, NULL);
	else
		plan_add(plan, "-t", "sine", "-f", "880", "-l", "0", NULL);
	return true;
}

const struct agent_action action_ring = {.name = "ring", .plan = plan};
