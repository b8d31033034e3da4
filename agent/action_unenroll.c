#include "agent/action.h"
#include "agent/executor.h"

// What enrolment left is wiped when the server has this answer: see executor_may_leave.
static bool run(struct executor *executor, const struct json *params, struct json *output, struct error *error)
{
	if (!outbox_set_int(executor->options.outbox, "leaving", 1, error))
		return false;
	executor->changed.leaving = true;
	return true;
}

const struct agent_action action_unenroll = {.name = "unenroll", .run = run};
