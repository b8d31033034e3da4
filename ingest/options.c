#include "ingest/options.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/mqtt.h"

#include <stddef.h>
#include <stdint.h>

#define AT(member) offsetof(struct options, member)
#define DAYS_MAX 3650
#define LIMIT_MAX 1000000000 // products of it fit

static const struct config_option rows[] = {
	{"broker.host", CONFIG_STRING, AT(broker_host), "localhost", 0, 253, false, "broker's host name or address"},
	{"broker.port", CONFIG_INT, AT(broker_port), "8884", 1, 65535, false, "broker's port for services"},
	{"broker.ca_file", CONFIG_STRING, AT(broker_ca_file), NULL, 0, 4000, false,
	 "CA that signed the broker's certificate, PEM; without it: plain TCP"},
	{"broker.cert_file", CONFIG_STRING, AT(broker_cert_file), NULL, 0, 4000, false, "own certificate, PEM"},
	{"broker.key_file", CONFIG_STRING, AT(broker_key_file), NULL, 0, 4000, false, "its private key, PEM"},
	{"broker.client_id", CONFIG_STRING, AT(broker_client_id), "svc.ingest", 0, 100, false,
	 "MQTT client id, which names the persistent session; each ingest has its own"},
	{"broker.keepalive_s", CONFIG_INT, AT(broker_keepalive_s), "60", 5, 65535, false,
	 "MQTT keepalive, in seconds: broker and ingest notice within one and a half times this that the other is "
	 "gone"},
	{"broker.silent_s", CONFIG_INT, AT(broker_silent_s), MQTT_SILENT_S, 1, 3600, false, MQTT_SILENT_S_HELP},
	{"cell", CONFIG_INT, AT(cell), "1", 1, INT32_MAX, false,
	 "which cell's broker this is; devices of another cell that report here are taken in, and noted"},
	{"subscription.group", CONFIG_STRING, AT(subscription_group), NULL, 0, 63, false,
	 "several ingests with this name in common share one broker's messages; each needs a client_id of its own"},
	{"subscription.session_expiry_s", CONFIG_INT, AT(session_expiry_s), "60", 1, 86400, false,
	 "with a group: seconds after which a broken-off ingest's share goes to the others"},
	{"database.conninfo", CONFIG_STRING, AT(conninfo), "dbname=muster user=muster_ingest", 0, 4000, false,
	 "libpq connection string"},
	{"auto_register", CONFIG_BOOL, AT(auto_register), "false", 0, 0, false,
	 "register unknown devices at their first message instead of quarantining it"},
	{"mismatch_max", CONFIG_INT, AT(mismatch_max), "5", 1, 1000000, false,
	 "sessions that say another hardware fingerprint than the device is bound to, until it is disabled and "
	 "revoked"},
	{"batch_max", CONFIG_INT, AT(batch_max), "5000", 1, MQTT_RECEIVE_MAXIMUM, false,
	 "most messages in a transaction"},
	{"stored_interval_ms", CONFIG_INT, AT(stored_interval_ms), "1000", 10, 60000, false,
	 "least time between two stored messages to a device, in milliseconds"},
	{"gap_lost_after_s", CONFIG_INT, AT(gap_lost_after_s), "3600", 1, 31536000, false,
	 "how long messages may be missing before they are reported as lost, in seconds"},
	{"offline_grace_s", CONFIG_INT, AT(offline_grace_s), "30", 0, 3600, false,
	 "how long after a (re)connect to the broker devices may take to come back before they count as offline"},
	{"limit.messages_per_s", CONFIG_INT, AT(messages_per_s), "800", 0, LIMIT_MAX, false,
	 "messages a second, an array's readings each, beyond which a device's are reported, and stored; 0: no limit"},
	{"limit.messages_burst", CONFIG_INT, AT(messages_burst), "8000", 1, LIMIT_MAX, false,
	 "so many at once are none"},
	{"limit.bytes_per_s", CONFIG_INT, AT(bytes_per_s), "1048576", 0, LIMIT_MAX, false,
	 "the same for bytes of payload; 0: no limit"},
	{"limit.bytes_burst", CONFIG_INT, AT(bytes_burst), "33554432", PAYLOAD_MAX_BYTES, LIMIT_MAX, false,
	 "so many at once are none"},
	{"rollup_every_s", CONFIG_INT, AT(rollup_every_s), "60", 10, 3600, false,
	 "time between two additions to the hourly rollups, in seconds; longer costs the database less"},
	{"retention.telemetry_days", CONFIG_INT, AT(telemetry_days), "2", 1, DAYS_MAX, false,
	 "days that single readings are kept; their hourly rollups stay"},
	{"retention.event_days", CONFIG_INT, AT(event_days), "30", 1, DAYS_MAX, false, "days that events are kept"},
	{"retention.rollup_days", CONFIG_INT, AT(rollup_days), "400", 1, DAYS_MAX, false,
	 "days that hourly rollups are kept, in whole months"},
	{"retention.quarantine_days", CONFIG_INT, AT(quarantine_days), "30", 1, DAYS_MAX, false,
	 "days that refused messages are kept"},
	{"retention.command_days", CONFIG_INT, AT(command_days), "400", 1, DAYS_MAX, false,
	 "days that finished commands are kept"},
	{"http.address", CONFIG_STRING, AT(http_address), "127.0.0.1", 0, 253, false,
	 "address of /health and /metrics, plain HTTP"},
	{"http.port", CONFIG_INT, AT(http_port), "0", 0, 65535, false, "their port; 0: off"},
	{"log_level", CONFIG_CHOICE, AT(log_level), LOG_LEVELS, 0, 0, false, "from which level on is logged"},
};

const struct config_table options_table = {"ingest", rows, sizeof(rows) / sizeof(rows[0])};
