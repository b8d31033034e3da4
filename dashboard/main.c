#include "common/config.h"
#include "common/console.h"
#include "common/crypto.h"
#include "common/daemon.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/package.h"
#include "common/password.h"
#include "dashboard/admin.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/bulk_job.h"
#include "dashboard/console.h"
#include "dashboard/dashboard.h"
#include "dashboard/device_list.h"
#include "dashboard/export_work.h"
#include "dashboard/overview.h"
#include "dashboard/quota.h"
#include "dashboard/reset.h"
#include "dashboard/roster.h"
#include "dashboard/routes.h"
#include "dashboard/stream.h"
#include "dashboard/system.h"
#include "dashboard/tags.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

extern const char dashboard_pack[], dashboard_pack_end[]; // embedded, see CMakeLists.txt

#define OPTION(name) offsetof(struct dashboard_config, name)

static const struct config_option options[] = {
	{"listen.address", CONFIG_STRING, OPTION(listen_address), "127.0.0.1", 0, 255, false, "address to listen on"},
	{"listen.port", CONFIG_INT, OPTION(listen_port), "8443", 0, 65535, false, "HTTPS port; 0: any free one"},
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
	 "the broker's listener for browsers, wss://<host>:<port>, of which live consoles read; unset: off"},
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
	{"log_level", CONFIG_STRING, OPTION(log_level), NULL, 0, 16, false, "error, warn, info or debug"},
};
static const struct config_table table = {"dashboard", options, sizeof(options) / sizeof(options[0])};

static void after_request(struct http_request *request, int status, int64_t duration_us, void *user)
{
	struct dashboard *dashboard = user;
	const char *route = http_route_pattern(request);
	char labels[160];

	(void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",status=\"%d\"", http_method(request),
		       route ? route : "none", status);
	metric_add(metrics_counter(dashboard->metrics, "muster_http_requests_total", labels, "HTTP requests answered."),
		   1);
	(void)snprintf(labels, sizeof(labels), "route=\"%s\"", route ? route : "none");
	quota_after(dashboard, request, status);
	metric_observe(metrics_histogram(dashboard->metrics, "muster_http_request_seconds", labels,
					 "Time from request to answer."),
		       (double)duration_us / 1e6);
	log_debug("http.request", "request_id", http_request_id(request), "method", http_method(request), "path",
		  http_path(request), "status", log_number(status), "peer", http_peer(request));
}

// What keeps something of its own between requests.
static bool prepare_parts(struct dashboard *dashboard, struct error *error)
{
	dashboard->overview = overview_new(error);
	dashboard->system = dashboard->overview ? system_new(dashboard, error) : NULL;
	dashboard->resets = dashboard->system ? resets_new(dashboard, error) : NULL;
	if (!dashboard->resets)
		return false;
	dashboard->exports = dashboard->config.exports_dir ? export_work_new(&dashboard->config, error) : NULL;
	if (dashboard->config.exports_dir && !dashboard->exports)
		return false;
	dashboard->roster = roster_new(dashboard->config.database_conninfo, error);
	dashboard->bulk = dashboard->roster ? bulk_new(dashboard, error) : NULL;
	if (!dashboard->bulk || !roster_start(dashboard->roster, error))
		return false;
	dashboard->tags = tags_new();
	return dashboard->tags || error_set(error, ERROR_FAILED, "out of memory");
}

#define STREAMS_MAX 4000
#define DESCRIPTORS_SPARE 64	// of files, the database, the loop
#define CONNECTIONS_MAX(streams) ((streams) / 4 * 5)

// As many descriptors as the system grants, and of them so many for live streams that requests still come through.
static size_t streams_max(void)
{
	struct rlimit limit = {0};
	const rlim_t wanted = CONNECTIONS_MAX(STREAMS_MAX) + DESCRIPTORS_SPARE;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return STREAMS_MAX / 8;
	if (limit.rlim_cur < wanted) {
		limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= wanted)
		return STREAMS_MAX;
	log_warn("streams.few", "descriptors", log_number((int64_t)limit.rlim_cur), "cure", "raise LimitNOFILE");
	return (size_t)limit.rlim_cur / 2;
}

static bool prepare(struct dashboard *dashboard, struct assets *assets, struct error *error)
{
	char secret[TOKEN_TEXT_BYTES];

	crypto_random_token(secret);
	if (!assets_parse(assets, dashboard_pack, (size_t)(dashboard_pack_end - dashboard_pack), error))
		return false;
	dashboard->assets = assets;
	if (!admin_load(dashboard, error) || !console_load(dashboard, error) ||
	    !webhook_key_load(&dashboard->webhook_key, dashboard->config.webhook_key_file, error))
		return false;
	dashboard->nobody_hash = password_hash(secret, error);
	dashboard->metrics = metrics_new();
	dashboard->lockout = lockout_new();
	dashboard->throttle = throttle_new();
	dashboard->counts = counts_new();
	dashboard->packages = packages_new(dashboard->config.enrollment_agents_dir, error);
	dashboard->loop = loop_new(error);
	dashboard->pg = pg_new(dashboard->config.database_conninfo, "muster-dashboard", error);
	if (!dashboard->nobody_hash || !dashboard->loop || !dashboard->pg || !dashboard->packages)
		return false;
	if (!dashboard->metrics || !dashboard->lockout || !dashboard->throttle || !dashboard->counts)
		return error_set(error, ERROR_FAILED, "out of memory");
	pg_on_connect(dashboard->pg, api_on_connect, NULL);
	pg_set_timeout(dashboard->pg, API_ANSWER_TIMEOUT_MS);
	dashboard->streams_max = streams_max();
	dashboard->streams = streams_new(dashboard, dashboard->streams_max, error);
	if (!dashboard->streams)
		return false;
	return prepare_parts(dashboard, error) && loop_stop_on_signals(dashboard->loop, error);
}

static void on_tls_changed(const struct error *error, void *user)
{
	struct dashboard *dashboard = user;

	if (error) {
		log_fault(&dashboard->tls_fault, "tls.unreadable", error);
		return;
	}
	log_fault_over(&dashboard->tls_fault, "tls.unreadable");
	log_info("tls.changed", "certificate", dashboard->config.tls_cert_file);
}

static bool serve(struct dashboard *dashboard, struct error *error)
{
	const struct http_options http = {
		.address = dashboard->config.listen_address,
		.port = (int)dashboard->config.listen_port,
		.cert_file = dashboard->config.tls_cert_file,
		.key_file = dashboard->config.tls_key_file,
		.body_max_bytes = HTTP_BODY_MAX_BYTES,
		.connections_max = (int)CONNECTIONS_MAX(dashboard->streams_max),
		.routes = routes,
		.route_count = routes_count,
		.before = auth_before,
		.after = after_request,
		.tls_changed = on_tls_changed,
		.compress = true,
		.user = dashboard,
	};
	struct http_server *server cleanup(http_server_free_cleanup) = http_server_new(dashboard->loop, &http, error);

	if (!server)
		return false;
	log_info("started", "version", MUSTER_VERSION, "address", dashboard->config.listen_address, "port",
		 log_number(http_server_port(server)));
	daemon_ready();
	bool ok = loop_run(dashboard->loop, error);

	daemon_stopping();
	return ok;
}

int main(int argc, char **argv)
{
	static struct assets assets;
	struct dashboard dashboard = {0};
	const struct daemon daemon = {"muster-dashboard", "Muster's page and HTTP API.", &table, &dashboard.config};
	struct error error = {0};
	enum log_level level;
	int exit_code = 0;

	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
	if (dashboard.config.log_level && !log_level_parse(dashboard.config.log_level, &level)) {
		(void)fprintf(stderr, "%s: log_level \"%s\" is none: use error, warn, info or debug\n", daemon.name,
			      dashboard.config.log_level);
		config_done(&table, &dashboard.config);
		return 1;
	}
	if (dashboard.config.log_level)
		log_init(daemon.name, level);

	bool ok = prepare(&dashboard, &assets, &error) && serve(&dashboard, &error);

	if (!ok)
		log_error("failed", "error", error.what, "where", error.where);
	else
		log_info("stopped");
	export_work_free(dashboard.exports);
	roster_free(dashboard.roster);
	bulk_free(dashboard.bulk);
	system_free(dashboard.system);
	pieces_free(dashboard.overview);
	resets_free(dashboard.resets);
	tags_free(dashboard.tags);
	streams_free(dashboard.streams);
	pg_free(dashboard.pg);
	loop_free(dashboard.loop);
	counts_free(dashboard.counts);
	lockout_free(dashboard.lockout);
	throttle_free(dashboard.throttle);
	packages_free(dashboard.packages);
	metrics_free(dashboard.metrics);
	jws_signer_free(dashboard.console_signer);
	free(dashboard.nobody_hash);
	config_done(&table, &dashboard.config);
	return ok ? 0 : 1;
}
