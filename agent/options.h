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
	long renew_https_after_s;
	char **actions;        // what this device may be ordered to do
	char **reboot_command; // argv; the first is a path
	long outbox_rows_max, outbox_bytes_max, replay_per_s;
	char *log_level;
};

extern const struct config_table agent_options_table;
