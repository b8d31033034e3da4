#include "bridge/options.h"

#include "common/log.h"
#include "common/mqtt.h"

#include <stddef.h>

#define OPTION(name, type, member, default_text, min, max, required, description) \
	{name, type, offsetof(struct options, member), default_text, min, max, required, description}

static const struct config_option rows[] = {
	OPTION("listen.address", CONFIG_STRING, listen_address, "127.0.0.1", 0, 0, false,
	       "address of the HTTPS listener"),
	OPTION("listen.port", CONFIG_INT, listen_port, "8444", 0, 65535, false,
	       "port of the HTTPS listener; 0 lets the kernel choose"),
	OPTION("tls.cert_file", CONFIG_STRING, tls_cert_file, NULL, 0, 0, true, "server certificate, PEM"),
	OPTION("tls.key_file", CONFIG_STRING, tls_key_file, NULL, 0, 0, true, "its private key, PEM, mode 0600"),
	OPTION("database.conninfo", CONFIG_STRING, conninfo, "dbname=muster user=muster_bridge", 0, 0, false,
	       "libpq connection string"),
	OPTION("ca.cert_file", CONFIG_STRING, ca_cert_file, NULL, 0, 0, true, "certificate of the device CA, PEM"),
	OPTION("ca.key_file", CONFIG_STRING, ca_key_file, NULL, 0, 0, true, "its private key, PEM, mode 0600"),
	OPTION("ca.domain", CONFIG_STRING, ca_domain, "muster.local", 0, 253, false,
	       "trust domain in spiffe://<domain>/device/<id>"),
	OPTION("ca.device_lifetime_s", CONFIG_INT, device_lifetime_s, "7776000", 10, 315360000, false,
	       "lifetime of a device certificate in seconds; the default is 90 days"),
	OPTION("trust.ca_file", CONFIG_STRING, trust_file, NULL, 0, 0, true,
	       "service CA that devices are told to trust, PEM"),
	OPTION("trust.devices_per_s", CONFIG_INT, trust_per_s, "200", 1, 10000, false,
	       "how many devices a second are told when that file has changed"),
	OPTION("devices.host", CONFIG_STRING, devices_host, "localhost", 0, 253, false,
	       "broker host that devices are told"),
	OPTION("devices.port", CONFIG_INT, devices_port, "8883", 1, 65535, false, "broker port that devices are told"),
	OPTION("broker.host", CONFIG_STRING, broker_host, "localhost", 0, 253, false,
	       "broker of our own session, services listener"),
	OPTION("broker.port", CONFIG_INT, broker_port, "8884", 1, 65535, false, "its port"),
	OPTION("broker.ca_file", CONFIG_STRING, broker_ca_file, NULL, 0, 0, false,
	       "roots that the broker's certificate must come from, PEM; unset: plain TCP"),
	OPTION("broker.cert_file", CONFIG_STRING, broker_cert_file, NULL, 0, 0, false,
	       "our certificate (CN svc.bridge), PEM"),
	OPTION("broker.key_file", CONFIG_STRING, broker_key_file, NULL, 0, 0, false, "its private key, PEM, mode 0600"),
	OPTION("broker.client_id", CONFIG_STRING, client_id, "svc.bridge", 0, 128, false,
	       "MQTT client id; a second bridge adds a dot and a suffix"),
	OPTION("broker.silent_s", CONFIG_INT, broker_silent_s, MQTT_SILENT_S, 1, 3600, false, MQTT_SILENT_S_HELP),
	OPTION("http.stored_timeout_s", CONFIG_INT, stored_timeout_s, "5", 1, 60, false,
	       "seconds that a report of an HTTP-only device may wait for its COMMIT before it is answered 503"),
	OPTION("http.credential_days", CONFIG_INT, credential_days, "365", 1, 3650, false,
	       "lifetime of a bearer credential in days"),
	OPTION("http.offline_after_s", CONFIG_INT, offline_after_s, "90", 5, 86400, false,
	       "seconds after its last request at which an HTTP-only device is offline; three of its own intervals if"
	       " those are longer"),
	OPTION("http.polls_max", CONFIG_INT, polls_max, "10000", 1, 100000, false,
	       "devices that may wait for commands at a time"),
	OPTION("limits.address_per_min", CONFIG_INT, address_per_min, "60", 0, 10000000, false,
	       "requests a minute of one address without a credential that holds (enrolment, too); 0: no limit"),
	OPTION("limits.device_per_min", CONFIG_INT, device_per_min, "300", 0, 10000000, false,
	       "requests a minute of one HTTP-only device; 0: no limit"),
	OPTION("listen.connections_max", CONFIG_INT, connections_max, "20000", 10, 200000, false,
	       "connections at a time; more wait in the kernel's queue"),
	OPTION("cells", CONFIG_LIST, cells, NULL, 0, 0, false,
	       "brokers among which devices are divided, each \"<id> <host> <port>\"; none: the one of devices.*, cell "
	       "1"),
	OPTION("registration.pending_max", CONFIG_INT, registration_pending_max, "10000", 0, 1000000, false,
	       "devices that may wait for approval; 0: only those whose serial number is pre-approved come in"),
	OPTION("registration.per_minute", CONFIG_INT, registration_per_minute, "120", 1, 100000, false,
	       "new registrations a minute from one address"),
	OPTION("registration.keep_days", CONFIG_INT, registration_keep_days, "30", 1, 3650, false,
	       "days after which a waiting device that does not ask any more makes room when there is none"),
	OPTION("registration.poll_s", CONFIG_INT, registration_poll_s, "30", 1, 3600, false,
	       "seconds after which a waiting device is told to ask again"),
	OPTION("agents_dir", CONFIG_STRING, agents_dir, NULL, 0, 4000, false,
	       "folder with packages of the agent and their manifests, for enrolment over adb; none: none are given "
	       "out"),
	OPTION("log_level", CONFIG_CHOICE, log_level, LOG_LEVELS, 0, 0, false, "from which level on is logged"),
};

const struct config_table options_table = {
	.program = "bridge",
	.options = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
};
