#include "agent/action.h"
#include "agent/executor.h"
#include "agent/tasks.h"

// A running command is answered by itself, when its programs have gone; one that has not come yet, now.
static bool run(struct executor *executor, const struct json *params, struct json *output, struct error *error)
{
	const char *command = plan_text(params, "command");
	bool known = false;
	json_set_string(output, "command", command);
	if (!executor_knows(executor, command, &known, error))
		return false;
	return known ? tasks_cancel(&executor->tasks, command, error) :
		       executor_forestall(executor, command, error);
}

const struct agent_action action_cancel = {.name = "cancel", .run = run, .always = true};
