#include "agent/action.h"
#include "agent/executor.h"

static bool run(struct executor *executor, const struct json *params, struct json *output, struct error *error)
{
	int64_t seconds;
	if (!json_member_int(params, "seconds", &seconds))
		return error_set(error, ERROR_INVALID, "\"seconds\" is missing");
	if (!outbox_set_int(executor->options.outbox, "interval_s", seconds, error))
		return false;
	executor->changed.interval_s = seconds;
	json_set_int(output, "interval_s", seconds);
	return true;
}

const struct agent_action action_set_interval = {.name = "set_interval", .run = run};
