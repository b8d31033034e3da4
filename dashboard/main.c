#include "common/config.h"
#include "common/console.h"
#include "common/crypto.h"
#include "common/daemon.h"
#include "common/http_peer.h"
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
#include "dashboard/options.h"
#include "dashboard/overview.h"
#include "dashboard/quota.h"
#include "dashboard/reset.h"
#include "dashboard/roster.h"
#include "dashboard/routes.h"
#include "dashboard/stream.h"
#include "dashboard/system.h"
#include "dashboard/tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

extern const char dashboard_pack[], dashboard_pack_end[]; // embedded, see CMakeLists.txt

static void after_request(struct http_request *request, int status, int64_t duration_us, void *user)
{
	struct dashboard *dashboard = user;
	const char *route = http_route_pattern(request);
	char labels[160];

	(void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",status=\"%d\"",
		       http_route_method(request), route ? route : "none", status);
	metric_add(metrics_counter(dashboard->metrics, "muster_http_requests_total", labels, "HTTP requests answered."),
		   1);
	(void)snprintf(labels, sizeof(labels), "route=\"%s\"", route ? route : "none");
	quota_after(dashboard, request, status);
	metric_observe(metrics_histogram(dashboard->metrics, "muster_http_request_duration_seconds", labels,
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
#define DESCRIPTORS_SPARE 64 // of files, the database, the loop
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

static void on_crowded(const char *peer, void *user)
{
	struct dashboard *dashboard = user;

	metric_add(metrics_counter(dashboard->metrics, "muster_http_crowded_total", NULL,
				   "Connections closed at once: their address has limits.unknown_connections of them."),
		   1);
	log_debug("http.crowded", "peer", peer);
}

static bool proxies_are_sound(char *const *proxies, struct error *error)
{
	for (; proxies && *proxies; proxies++) {
		if (!http_peer_is_network(*proxies))
			return error_set(error, ERROR_INVALID,
					 "listen.proxies: %.64s is no address or network, such as 192.0.2.7 or "
					 "2001:db8::/48",
					 *proxies);
	}
	return true;
}

static bool serve(struct dashboard *dashboard, struct error *error)
{
	if (!proxies_are_sound(dashboard->config.listen_proxies, error))
		return false;

	const struct http_options http = {
		.address = dashboard->config.listen_address,
		.port = (int)dashboard->config.listen_port,
		.cert_file = dashboard->config.tls_cert_file,
		.key_file = dashboard->config.tls_key_file,
		.body_max_bytes = HTTP_BODY_MAX_BYTES,
		.connections_max = (int)CONNECTIONS_MAX(dashboard->streams_max),
		.unknown_max = (int)dashboard->config.limit_unknown_connections,
		.crowded = on_crowded,
		.proxies = dashboard->config.listen_proxies,
		.routes = routes,
		.route_count = routes_count,
		.before = auth_before,
		.after = after_request,
		.tls_changed = on_tls_changed,
		.compress = true,
		.keep_tag = ROUTE_KEPT,
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
	const struct daemon daemon = {"muster-dashboard", "Muster's page and HTTP API.", &dashboard_options,
				      &dashboard.config};
	struct error error = {0};
	int exit_code = 0;

	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
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
	console_unload(&dashboard);
	free(dashboard.nobody_hash);
	config_done(&dashboard_options, &dashboard.config);
	return ok ? 0 : 1;
}
