// The agent's configuration file.
#pragma once

#include "common/config.h"

#include <stdbool.h>

struct agent_options {
	char *state_dir;
	char *bridge_url, *bridge_ca_file;
	char *broker_host; // NULL: as enrolment said
	long broker_port;  // 0: as enrolment said
	char **broker_addresses;
	char *root; // of /proc, /sys and /system; NULL: ""
	long interval_s;
	char *connection_mode; // "persistent" or "on_demand"
	long stay_s;
	char *wake_socket; // NULL: wake.sock in state_dir
	bool wake_group;
	long renew_https_after_s;
	char **actions;        // what this device may be ordered to do
	char **reboot_command; // argv; the first is a path
	char **wipe_command;   // likewise; NULL: Android's own way, or none
	long parallel;         // commands whose programs run at the same time
	char *run_user;
	long run_memory_max; // bytes
	char **watch_apps;
	long watch_tries;
	long outbox_rows_max, outbox_bytes_max, replay_per_s;
	char *log_level;
};

extern const struct config_table agent_options_table;

#define AGENT_REBOOT_DEFAULT "/sbin/reboot"

// Options that a command (set_config) may change. *at_once, where not NULL: without a restart of the agent.
#define AGENT_OPTIONS_SETTABLE                                                         \
	"interval_s, outbox.replay_per_s, log_level, commands.parallel, watch.tries, " \
	"renew_https_after_s"
bool agent_options_settable(const char *name, bool *at_once);
