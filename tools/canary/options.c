#include "tools/canary/options.h"

#include "common/log.h"

#include <stddef.h>
#include <stdint.h>

#define OPTION(name, type, member, default_text, min, max, required, description)                                      \
	{                                                                                                              \
		name, type, offsetof(struct options, member), default_text, min, max, required, description            \
	}

static const struct config_option rows[] = {
	OPTION("bridge.url", CONFIG_STRING, bridge_url, NULL, 0, 512, true, "where it enrols: https://host:port"),
	OPTION("bridge.ca_file", CONFIG_STRING, bridge_ca_file, NULL, 0, 0, true,
	       "roots that the bridge's certificate must come from, PEM"),
	OPTION("broker.host", CONFIG_STRING, broker_host, NULL, 0, 253, false,
	       "broker, devices listener; unset: as enrolment says"),
	OPTION("broker.port", CONFIG_INT, broker_port, "0", 0, 65535, false, "its port; 0: as enrolment says"),
	OPTION("database.conninfo", CONFIG_STRING, conninfo, "dbname=muster user=muster_canary", 0, 0, false,
	       "libpq connection string"),
	OPTION("cell", CONFIG_INT, cell, "1", 1, INT32_MAX, false,
	       "the cell whose broker is proven; its device is canary-<cell>"),
	OPTION("every_s", CONFIG_INT, every_s, "3600", 1, 604800, false,
	       "seconds between two proofs when nobody is revoked"),
	OPTION("gap_s", CONFIG_INT, gap_s, "60", 1, 3600, false,
	       "seconds between two proofs at least, however many are revoked"),
	OPTION("http.address", CONFIG_STRING, http_address, "127.0.0.1", 0, 253, false,
	       "address of /health and /metrics, plain HTTP"),
	OPTION("http.port", CONFIG_INT, http_port, "0", 0, 65535, false, "their port; 0: off"),
	OPTION("log_level", CONFIG_CHOICE, log_level, LOG_LEVELS, 0, 0, false, "from which level on is logged"),
};

const struct config_table options_table = {
	.program = "canary",
	.options = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
};
