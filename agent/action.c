#include "agent/action.h"

#include "common/buf.h"

#include <stddef.h>
#include <string.h>

static const struct agent_action *const actions[] = {
	&action_ping,            &action_message,           &action_reboot,     &action_shutdown,
	&action_lock,            &action_ring,              &action_locate,     &action_wipe,
	&action_restart_service, &action_launch_app,        &action_stop_app,   &action_restart_app,
	&action_install_package, &action_uninstall_package, &action_run,        &action_set_config,
	&action_set_interval,    &action_collect_logs,      &action_unenroll,   &action_cancel,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct agent_action *agent_action_find(const char *name)
{
	for (size_t i = 0; i < COUNT(actions); i++) {
		if (strcmp(actions[i]->name, name) == 0)
			return actions[i];
	}
	return NULL;
}

bool agent_action_check_list(char *const *names, struct error *error)
{
	struct buf known auto_buf = {0};
	buf_init(&known, sizeof(error->what));
	for (size_t i = 0; i < COUNT(actions); i++) {
		if (!actions[i]->always)
			(void)buf_addf(&known, "%s%s", i > 0 ? ", " : "", actions[i]->name);
	}
	for (; names && *names; names++) {
		const struct agent_action *action = agent_action_find(*names);
		if (!action || action->always)
			return error_set(error, ERROR_INVALID, "actions: this agent has no action \"%.64s\"; it has %s",
					 *names, buf_str(&known));
	}
	return true;
}
