#include "commander/options.h"

#include "common/log.h"
#include "common/mqtt.h"

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
	OPTION("broker.silent_s", CONFIG_INT, broker_silent_s, MQTT_SILENT_S, 1, 3600, false, MQTT_SILENT_S_HELP),
	OPTION("database.conninfo", CONFIG_STRING, conninfo, "dbname=muster user=muster_commander", 0, 0, false,
	       "libpq connection string"),
	OPTION("cell", CONFIG_INT, cell, "0", 0, INT32_MAX, false,
	       "which cell's broker this is: only commands for devices in that cell are taken; 0: there is but one "
	       "broker"),
	OPTION("signing_key_file", CONFIG_STRING, signing_key_file, NULL, 0, 0, true,
	       "Ed25519 private key that signs commands, PKCS#8 PEM, mode 0600"),
	OPTION("resend_s", CONFIG_INT, resend_s, "30", 1, 3600, false,
	       "seconds after which an unanswered command is published again to a device that is online, doubling up "
	       "to 15 min"),
	OPTION("share_requests", CONFIG_BOOL, share_requests, "false", 0, 0, false,
	       "several commanders at this broker share the requests of operators"),
	OPTION("fcm.credentials_file", CONFIG_STRING, fcm_credentials_file, NULL, 0, 0, false,
	       "a Google service account's JSON file, mode 0600 or 0640, to wake sleeping devices with; unset: nobody "
	       "is"),
	OPTION("fcm.endpoint", CONFIG_STRING, fcm_endpoint, "https://fcm.googleapis.com", 0, 500, false,
	       "where pushes are sent: a proxy or a test puts itself in between"),
	OPTION("fcm.ca_file", CONFIG_STRING, fcm_ca_file, NULL, 0, 0, false,
	       "roots that endpoint and token_uri must come from, PEM; unset: the system's"),
	OPTION("fcm.timeout_s", CONFIG_INT, fcm_timeout_s, "10", 1, 120, false, "seconds that each request may take"),
	OPTION("fcm.device_per_hour", CONFIG_INT, fcm_device_per_hour, "20", 1, 10000, false, "pushes to one device"),
	OPTION("fcm.project_per_minute", CONFIG_INT, fcm_project_per_minute, "6000", 1, 600000, false,
	       "pushes to all devices together, of all commanders"),
	OPTION("fcm.breaker_failures", CONFIG_INT, fcm_breaker_failures, "5", 1, 1000, false,
	       "failures in a row after which pushing pauses"),
	OPTION("fcm.breaker_open_s", CONFIG_INT, fcm_breaker_open_s, "30", 1, 3600, false,
	       "seconds of the first pause; doubles up to 16 times that"),
	OPTION("wake.after_s", CONFIG_INT, wake_after_s, "5", 1, 3600, false,
	       "seconds after which a device that is online and has not answered a command is woken"),
	OPTION("wake.retry_s", CONFIG_INT, wake_retry_s, "30", 1, 86400, false,
	       "seconds to wait after a push before the next one, until it is known how long this device takes"),
	OPTION("wake.retry_max_s", CONFIG_INT, wake_retry_max_s, "3600", 1, 86400, false,
	       "the most that this doubles up to"),
	OPTION("campaign.approve_above", CONFIG_INT, approve_above, "0", 0, INT32_MAX, false,
	       "a campaign for more devices than this waits until another person approves it; 0: none does"),
	OPTION("campaign.sweep_s", CONFIG_INT, sweep_s, "10", 1, 86400, false,
	       "seconds between two looks for devices that a continuous campaign has not yet"),
	OPTION("smtp.url", CONFIG_STRING, smtp_url, NULL, 0, 300, false,
	       "mail server that takes our messages, smtp://host:587 (STARTTLS) or smtps://host:465; unset: nobody "
	       "gets e-mail"),
	OPTION("smtp.from", CONFIG_STRING, smtp_from, NULL, 0, 254, false, "address that they come from"),
	OPTION("smtp.user", CONFIG_STRING, smtp_user, NULL, 0, 254, false, "whom to log in as; unset: without"),
	OPTION("smtp.password_file", CONFIG_STRING, smtp_password_file, NULL, 0, 0, false,
	       "file with the password, mode 0600"),
	OPTION("smtp.ca_file", CONFIG_STRING, smtp_ca_file, NULL, 0, 0, false,
	       "roots that the server's certificate must come from, PEM; unset: the system's"),
	OPTION("smtp.starttls", CONFIG_BOOL, smtp_starttls, "true", 0, 0, false,
	       "smtp:// is encrypted; false only for a server on this machine"),
	OPTION("smtp.timeout_s", CONFIG_INT, smtp_timeout_s, "30", 1, 600, false, "seconds that one message may take"),
	OPTION("smtp.retry_s", CONFIG_INT, smtp_retry_s, "60", 1, 3600, false,
	       "seconds until a message that was not taken is tried again; doubles up to an hour"),
	OPTION("smtp.breaker_open_s", CONFIG_INT, smtp_breaker_open_s, "15", 1, 3600, false,
	       "seconds of the first pause after three failures in a row; doubles up to 16 times that"),
	OPTION("alert.look_s", CONFIG_INT, alert_look_s, "5", 1, 3600, false,
	       "seconds between two looks of an alert rule"),
	OPTION("alert.holdoff_s", CONFIG_INT, alert_holdoff_s, "60", 1, 3600, false,
	       "seconds that devices are given to come back after ingest, broker, database or commander did"),
	OPTION("alert.flap_s", CONFIG_INT, alert_flap_s, "600", 0, 86400, false,
	       "an alert that comes back within so many seconds is the same one, and is cleared later each time"),
	OPTION("webhook.key_file", CONFIG_STRING, webhook_key_file, NULL, 0, 0, false,
	       "32 random bytes in base64url, mode 0600 or 0640, the same as dashboard's: webhooks of alerts are "
	       "signed with what it makes; unset: none are sent"),
	OPTION("webhook.reach", CONFIG_CHOICE, webhook_reach, "private|public|any", 0, 0, false,
	       "how near a webhook may be: public (the internet only), private (this network, too) or any (this "
	       "machine, too)"),
	OPTION("webhook.ca_file", CONFIG_STRING, webhook_ca_file, NULL, 0, 0, false,
	       "roots that webhooks' certificates must come from, PEM; unset: the system's"),
	OPTION("webhook.timeout_s", CONFIG_INT, webhook_timeout_s, "10", 1, 120, false, "seconds that each may take"),
	OPTION("webhook.retry_s", CONFIG_INT, webhook_retry_s, "30", 1, 3600, false,
	       "seconds until one that failed is tried again; doubles up to an hour, for a day"),
	OPTION("webhook.breaker_open_s", CONFIG_INT, webhook_breaker_open_s, "60", 1, 3600, false,
	       "seconds of the first pause of a channel after three failures in a row; doubles up to 16 times that"),
	OPTION("public_url", CONFIG_STRING, public_url, NULL, 0, 300, false,
	       "where people reach the dashboard, https://..., for links in messages; unset: none"),
	OPTION("http.address", CONFIG_STRING, http_address, "127.0.0.1", 0, 253, false,
	       "address of /health and /metrics, plain HTTP"),
	OPTION("http.port", CONFIG_INT, http_port, "0", 0, 65535, false, "their port; 0: off"),
	OPTION("log_level", CONFIG_CHOICE, log_level, LOG_LEVELS, 0, 0, false, "from which level on is logged"),
};

const struct config_table options_table = {
	.program = "commander",
	.options = rows,
	.count = sizeof(rows) / sizeof(rows[0]),
};
