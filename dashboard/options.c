#include "dashboard/options.h"

#include "common/console.h"
#include "common/log.h"
#include "dashboard/dashboard.h"

#include <stddef.h>

#define OPTION(name) offsetof(struct dashboard_config, name)

static const struct config_option options[] = {
	{"listen.address", CONFIG_STRING, OPTION(listen_address), "127.0.0.1", 0, 255, false, "address to listen on"},
	{"listen.port", CONFIG_INT, OPTION(listen_port), "8443", 0, 65535, false, "HTTPS port; 0: any free one"},
	{"listen.proxies", CONFIG_LIST, OPTION(listen_proxies), NULL, 0, 0, false,
	 "addresses and networks of the proxies in front, whose X-Forwarded-For says who asks; unset: nobody's does"},
	{"tls.cert_file", CONFIG_STRING, OPTION(tls_cert_file), NULL, 0, 4095, true, "server certificate, PEM"},
	{"tls.key_file", CONFIG_STRING, OPTION(tls_key_file), NULL, 0, 4095, true, "its private key, PEM"},
	{"database.conninfo", CONFIG_STRING, OPTION(database_conninfo), "dbname=muster user=muster_dashboard", 0, 4095,
	 false, "libpq connection string"},
	{"webhook.key_file", CONFIG_STRING, OPTION(webhook_key_file), NULL, 0, 0, false,
	 "32 random bytes in base64url, mode 0600 or 0640, the same as commander's: webhooks of alerts are signed with "
	 "what it makes; unset: no webhooks"},
	{"admin_key_file", CONFIG_STRING, OPTION(admin_key_file), NULL, 0, 4095, false,
	 "32 random bytes in base64url, mode 0600, from which the keys of POST /admin/command and of second factors "
	 "come; unset: both are off"},
	{"public_url", CONFIG_STRING, OPTION(public_url), NULL, 0, 400, false,
	 "https://<host>[:<port>] under which people reach this page: for links in e-mails; unset: none are sent"},
	{"require_totp", CONFIG_BOOL, OPTION(require_totp), "false", 0, 0, false,
	 "administrators must set up a second factor before they do anything else"},
	{"limits.general_per_min", CONFIG_INT, OPTION(limit_general_per_min), "60", 0, 10000000, false,
	 "API requests a minute of each person, API key and address; 0: no limit"},
	{"limits.admin_per_min", CONFIG_INT, OPTION(limit_admin_per_min), "100", 0, 10000000, false,
	 "the same for administrators and signed requests"},
	{"limits.unknown_connections", CONFIG_INT, OPTION(limit_unknown_connections), "200", 0, 1000000, false,
	 "open connections of one address (IPv6: /64) on which nobody has logged in; more are closed; 0: no limit"},
	{"session_hours", CONFIG_INT, OPTION(session_hours), "12", 1, 720, false, "how long a login lasts, in hours"},
	{"enrollment.bridge_url", CONFIG_STRING, OPTION(enrollment_bridge_url), NULL, 0, 1000, false,
	 "bridge that enrolment scripts name: https://<host>:<port>"},
	{"enrollment.ca_file", CONFIG_STRING, OPTION(enrollment_ca_file), NULL, 0, 4000, false,
	 "authority of its certificate, PEM"},
	{"enrollment.agents_dir", CONFIG_STRING, OPTION(enrollment_agents_dir), NULL, 0, 4000, false,
	 "folder with the packages of the agent that the bridge gives out (its agents_dir)"},
	{"enrollment.broker_addresses", CONFIG_LIST, OPTION(enrollment_broker_addresses), NULL, 0, 0, false,
	 "numeric addresses of the broker, where devices can't resolve its name"},
	{"enrollment.interval_s", CONFIG_INT, OPTION(enrollment_interval_s), "30", 1, 86400, false,
	 "seconds between two heartbeats of a device that a script enrols"},
	{"console.url", CONFIG_STRING, OPTION(console_url), NULL, 0, 255, false,
	 "where live consoles read what devices of cell 1 say: its broker's listener for browsers, "
	 "wss://<host>:<port>"},
	{"console.cells", CONFIG_LIST, OPTION(console_cells), NULL, 0, 0, false,
	 "the same for other cells, each \"<cell> wss://<host>:<port>\"; with neither there are no live consoles"},
	{"console.key_file", CONFIG_STRING, OPTION(console_key_file), NULL, 0, 4095, false,
	 "Ed25519 key, PEM, mode 0600, that signs the credentials of live consoles; the broker has the public one"},
	{"console.lifetime_s", CONFIG_INT, OPTION(console_lifetime_s), "300", 30, CONSOLE_LIFETIME_MAX_S, false,
	 "how long such a credential counts, in seconds; pages renew theirs"},
	{"exports.dir", CONFIG_STRING, OPTION(exports_dir), NULL, 0, 4000, false,
	 "folder for exported files, for its owner only; dashboards that share a database share it; unset: no exports"},
	{"exports.hours", CONFIG_INT, OPTION(exports_hours), "24", 1, 720, false,
	 "how long an exported file stays, in hours"},
	{"exports.max_rows", CONFIG_INT, OPTION(exports_max_rows), "5000000", 1, 1000000000, false,
	 "rows of one export"},
	{"exports.max_mb", CONFIG_INT, OPTION(exports_max_mb), "1024", 1, 1048576, false, "size of one export, in MiB"},
	{"exports.folder_mb", CONFIG_INT, OPTION(exports_folder_mb), "10240", 1, 16777216, false,
	 "what all exported files together may take, in MiB"},
	{"exports.per_person", CONFIG_INT, OPTION(exports_per_person), "20", 1, 1000, false,
	 "exports of one person that wait, run or have a file"},
	{"log_level", CONFIG_CHOICE, OPTION(log_level), LOG_LEVELS, 0, 0, false, "from which level on is logged"},
};
const struct config_table dashboard_options = {"dashboard", options, sizeof(options) / sizeof(options[0])};
