#include "commander/options.h"

#include <stddef.h>
#include <stdint.h>

#define OPTION(name, type, member, default_text, min, max, required, description)                                      \
	{                                                                                                              \
		name, type, offsetof(struct options, member), default_text, min, max, required, description            \
	}

static const struct config_option rows[] = {
	OPTION("broker.host", CONFIG_STRING, broker_host, "localhost", 0, 253, false, "broker, services listener"),
	OPTION("broker.port", CONFIG_INT, broker_port, "8884", 1, 65535, false, "its port"),
	OPTION("broker.ca_file", CONFIG_STRING, broker_ca_file, NULL, 0, 0, false,
	       "roots that the broker's certificate must come from, PEM; unset: plain TCP"),
	OPTION("broker.cert_file", CONFIG_STRING, broker_cert_file, NULL, 0, 0, false,
	       "our certificate (CN svc.commander), PEM"),
	OPTION("broker.key_file", CONFIG_STRING, broker_key_file, NULL, 0, 0, false, "its private key, PEM, mode 0600"),
	OPTION("broker.client_id", CONFIG_STRING, client_id, "svc.commander", 0, 128, false,
	       "MQTT client id; a second commander adds a dot and a suffix"),
	OPTION("database.conninfo", CONFIG_STRING, conninfo, "dbname=muster user=muster_commander", 0, 0, false,
	       "libpq connection string"),
	OPTION("cell", CONFIG_INT, cell, "0", 0, INT32_MAX, false,
	       "which cell's broker this is: only commands for devices in that cell are taken; 0: there is but one broker"),
	OPTION("signing_key_file", CONFIG_STRING, signing_key_file, NULL, 0, 0, true,
	       "Ed25519 private key that signs commands, PKCS#8 PEM, mode 0600"),
	OPTION("resend_s", CONFIG_INT, resend_s, "30", 1, 3600, false,
	       "seconds after which an unanswered command is published again to a device that is online, doubling up to 15 min"),
	OPTION("share_requests", CONFIG_BOOL, share_requests, "false", 0, 0, false,
	       "several commanders at this broker share the requests of operators"),
	OPTION("http.address", CONFIG_STRING, http_address, "127.0.0.1", 0, 253, false,
	       "address of /health and /metrics, plain HTTP"),
	OPTION("http.port", CONFIG_INT, http_port, "0", 0, 65535, false, "their port; 0: off"),
	OPTION("log_level", CONFIG_STRING, log_level, NULL, 0, 0, false, "error, warn, info (the default) or debug"),
};

const struct config_table options_table = {
	.program = "commander",
	.options = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
};
