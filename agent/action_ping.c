#include "agent/action.h"
#include "agent/collect.h"
#include "agent/executor.h"

static bool run(struct executor *executor, const struct json *params, struct json *output, struct error *error)
{
	int64_t uptime_s = collect_uptime_s(executor->options.root);
	json_set_bool(output, "pong", true);
	if (uptime_s >= 0)
		json_set_int(output, "uptime_s", uptime_s);
	return true;
}

const struct agent_action action_ping = {.name = "ping", .run = run};
