#include "agent/action.h"
#include "agent/executor.h"
#include "agent/settings.h"

#include <string.h>

static bool check(struct executor *executor, const struct json *params, struct error *error)
{
	return settings_check(json_member(params, "config"), error);
}

static bool run(struct executor *executor, const struct json *params, struct json *output, struct error *error)
{
	const struct json *config = json_member(params, "config");
	struct json *later = json_new_array();
	int64_t interval_s;
	json_set(output, "after_restart", later);
	if (!settings_store(executor->options.config->state_dir, config, later, error))
		return false;
	if (json_member_int(config, "interval_s", &interval_s)) {
		if (!outbox_set_int(executor->options.outbox, "interval_s", interval_s, error))
			return false;
		executor->changed.interval_s = interval_s;
	}
	json_free(executor->changed.settings);
	executor->changed.settings = json_copy(config);
	return true;
}

const struct agent_action action_set_config = {.name = "set_config", .run = run, .check = check};
