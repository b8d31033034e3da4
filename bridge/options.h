// The bridge's configuration: one table from which the parser, --help and the sample configuration come.
#pragma once

#include "common/config.h"

struct options {
	char *listen_address;
	long listen_port;
	char *tls_cert_file;
	char *tls_key_file;
	char *conninfo;
	char *ca_cert_file; // device CA: signs what enrols
	char *ca_key_file;
	char *ca_domain;
	long device_lifetime_s;
	char *trust_file; // service CA: what devices are told to trust
	long trust_per_s;
	char *devices_host;
	long devices_port;
	char *broker_host;
	long broker_port;
	char *broker_ca_file;
	char *broker_cert_file;
	char *broker_key_file;
	long broker_silent_s;
	char *client_id;
	long stored_timeout_s; // HTTP-only devices, as far as polls_max
	long credential_days;
	long offline_after_s;
	long polls_max;
	long address_per_min;
	long device_per_min;
	long connections_max;
	char **cells; // NULL or empty: one, the broker above
	long registration_pending_max;
	long registration_per_minute;
	long registration_keep_days;
	long registration_poll_s;
	char *agents_dir; // NULL: no packages of the agent are given out
	char *log_level;
};

extern const struct config_table options_table;
