// The options of muster-ingest.
#pragma once

#include "common/config.h"

#include <stdbool.h>

struct options {
	char *broker_host, *broker_ca_file, *broker_cert_file, *broker_key_file, *broker_client_id;
	long cell;
	char *subscription_group; // NULL: alone
	long session_expiry_s;    // in a group
	long broker_port, broker_keepalive_s, broker_silent_s;
	char *conninfo;
	bool auto_register;
	long mismatch_max;
	long messages_per_s, messages_burst, bytes_per_s, bytes_burst; // of one device
	long batch_max, stored_interval_ms, gap_lost_after_s, offline_grace_s;
	long rollup_every_s;
	long telemetry_days, event_days, rollup_days, quarantine_days, command_days; // retention
	char *http_address;
	long http_port;
	char *log_level;
};

extern const struct config_table options_table;
