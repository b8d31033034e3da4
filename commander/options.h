// The commander's configuration: one table from which the parser, --help and the sample configuration come.
#pragma once

#include "common/config.h"

struct options {
	char *broker_host;
	long broker_port;
	char *broker_ca_file; // NULL: plain TCP
	char *broker_cert_file;
	char *broker_key_file;
	char *client_id;
	char *conninfo;
	long cell; // 0: all
	char *signing_key_file;
	long resend_s;
	bool share_requests;
	char *http_address;
	long http_port;
	char *log_level;
};

extern const struct config_table options_table;
