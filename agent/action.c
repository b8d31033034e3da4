#include "agent/action.h"

#include <stddef.h>
#include <string.h>

static const struct agent_action *const actions[] = {&action_ping, &action_reboot, &action_set_interval};

const struct agent_action *agent_action_find(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i]->name, name) == 0)
			return actions[i];
	}
	return NULL;
}

bool agent_action_check_list(char *const *names, struct error *error)
{
	for (; names && *names; names++) {
		if (!agent_action_find(*names))
			return error_set(error, ERROR_INVALID,
					 "actions: this agent has no action \"%.64s\"; it has ping, "
					 "set_interval and reboot",
					 *names);
	}
	return true;
}
