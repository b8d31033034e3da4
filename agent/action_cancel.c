#include "agent/action.h"
#include "agent/executor.h"
#include "agent/tasks.h"

// The command that is ended is answered by itself, when its programs have gone.
static bool run(struct executor *executor, const struct json *params, struct json *output, struct error *error)
{
	const char *command = plan_text(params, "command");
	json_set_string(output, "command", command);
	return tasks_cancel(&executor->tasks, command, error);
}

const struct agent_action action_cancel = {.name = "cancel", .run = run, .always = true};
