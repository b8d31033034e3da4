// The canary's configuration: one table from which the parser, --help and the sample configuration come.
#pragma once

#include "common/config.h"

struct options {
	char *bridge_url;
	char *bridge_ca_file;
	char *broker_host; // NULL: as enrolment says
	long broker_port;  // 0: likewise
	char *conninfo;
	long cell;
	long every_s;
	long gap_s;
	char *http_address;
	long http_port;
	char *log_level;
};

extern const struct config_table options_table;
