#include "agent/action.h"
#include "agent/executor.h"

#define RUN_TIME_S 60

static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	const struct json *argv = json_member(params, "argv");
	const char *word = "";
	int64_t time_s = RUN_TIME_S;
	(void)json_member_int(params, "timeout_s", &time_s);
	if (!json_as_string(json_array_at(argv, 0), &word) || !plan_path(plan, word, error))
		return error_prefix(error, "argv[0]");
	for (size_t i = 1; i < json_array_length(argv); i++) {
		if (json_as_string(json_array_at(argv, i), &word))
			plan_add(plan, word, NULL);
	}
	plan->time_s = time_s;
	plan->sends_output = true;
	plan->memory_max_bytes = plan->options->run_memory_max;
	return job_user_find(plan->root, plan->options->run_user, &plan->user, error);
}

const struct agent_action action_run = {.name = "run", .plan = plan};
