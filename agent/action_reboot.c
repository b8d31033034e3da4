#include "agent/action.h"
#include "agent/executor.h"

#include <string.h>

static char *const *argv(struct executor *executor)
{
	return executor->options.reboot_command;
}

static bool took_effect(struct executor *executor, const char *boot_id_then)
{
	return *boot_id_then && strcmp(boot_id_then, executor->options.boot_id) != 0;
}

const struct agent_action action_reboot = {.name = "reboot", .argv = argv, .took_effect = took_effect};
