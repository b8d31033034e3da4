#include "bridge/server.h"

#include "bridge/application.h"
#include "bridge/claim.h"
#include "bridge/health.h"
#include "bridge/renewal.h"
#include "common/clock.h"

#include <stdio.h>
#include <string.h>

#define EXPIRY_EVERY_MS 15000
#define TICK_MS 1000
#define DATABASE_TIMEOUT_MS 5000 // everybody waits while one does, so an enrolment rather fails

static const struct http_route routes[] = {
	{"POST", "/v1/enroll", claim_handle, 0},
	{"POST", "/v1/registration", application_ask, 0},
	{"GET", "/v1/registration", application_poll, 0},
	{"POST", "/v1/renew", renewal_handle, 0},
	{"GET", "/health", health_handle, 0},
	{"GET", "/ready", health_handle_ready, 0},
	{"GET", "/metrics", health_handle_metrics, 0},
};

static void count_request(struct http_request *request, int status, int64_t duration_us, void *user)
{
	struct server *server = user;
	const char *pattern = http_route_pattern(request);
	char labels[160];

	if (!pattern)
		pattern = "none";
	(void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",status=\"%d\"", http_method(request),
		       pattern, status);
	metric_add(metrics_counter(server->metrics, "muster_http_requests_total", labels, "HTTP requests answered"), 1);
	(void)snprintf(labels, sizeof(labels), "route=\"%s\"", pattern);
	metric_observe(metrics_histogram(server->metrics, "muster_http_request_duration_seconds", labels,
					 "Time from request to answer"),
		       (double)duration_us / 1e6);
}

void server_expire_tokens(struct server *server)
{
	struct error error = {.kind = ERROR_NONE};

	if (enroll_expire_tokens(&server->enroll, &error))
		log_fault_over(&server->database_fault, "database.failed");
	else
		log_fault(&server->database_fault, "database.failed", &error);
}

static void on_expiry(void *user)
{
	server_expire_tokens(user);
}

static void use_authority(struct server *server)
{
	server->enroll.ca = server->authority.ca;
	server->trust_pem = server->authority.trust_pem;
}

static void tell_authority(struct server *server)
{
	log_info("authority.changed", "device_ca", server->authority.info.common_name, "trust",
		 server->authority.trust_sha256);
	trust_changed(&server->trust);
}

static void on_tick(void *user)
{
	struct server *server = user;
	struct error error = {.kind = ERROR_NONE};
	bool changed;

	if (authority_refresh(&server->authority, &changed, &error))
		log_fault_over(&server->authority_fault, "authority.unreadable");
	else
		log_fault(&server->authority_fault, "authority.unreadable", &error);
	if (changed) {
		use_authority(server);
		tell_authority(server);
	}
	if (!trust_tick(&server->trust, clock_mono_ms(), &error))
		log_fault(&server->database_fault, "database.failed", &error);
}

static bool start_ticking(struct server *server, struct loop *loop, struct error *error)
{
	server->trust = (struct trust){
		.pg = server->enroll.pg,
		.link = server->link,
		.authority = &server->authority,
		.told = metrics_counter(server->metrics, "muster_trust_told_total", NULL,
					"Devices that were told whom to trust"),
		.rate_per_s = server->options->trust_per_s,
	};
	server->tick = loop_timer_new(loop, on_tick, server, error);
	if (!server->tick)
		return false;
	loop_timer_every(server->tick, TICK_MS);
	return true;
}

static void on_tls_changed(const struct error *error, void *user)
{
	struct server *server = user;

	if (error) {
		log_fault(&server->tls_fault, "tls.unreadable", error);
		return;
	}
	log_fault_over(&server->tls_fault, "tls.unreadable");
	log_info("tls.changed", "certificate", server->options->tls_cert_file);
}

static bool open_parts(struct server *server, struct loop *loop, struct error *error)
{
	const struct options *options = server->options;

	if (!authority_open(&server->authority, options, error))
		return false;
	use_authority(server);
	server->enroll.pg = pg_new(options->conninfo, "muster-bridge", error);
	if (!server->enroll.pg)
		return false;
	pg_set_timeout(server->enroll.pg, DATABASE_TIMEOUT_MS);
	if (!cells_parse(options->cells, options->devices_host, (int)options->devices_port, &server->enroll.cells,
			 error))
		return false;
	server->throttle = throttle_new(ENROLL_ADDRESSES_MAX, ENROLL_FAILURES_MAX, ENROLL_WINDOW_MS);
	server->askers = throttle_new(ENROLL_ADDRESSES_MAX, (unsigned)options->registration_per_minute, ENROLL_WINDOW_MS);
	server->metrics = metrics_new();
	server->renewals = throttle_new(ENROLL_ADDRESSES_MAX, RENEWALS_MAX, ENROLL_WINDOW_MS);
	if (!server->throttle || !server->askers || !server->renewals || !server->metrics)
		return error_set(error, ERROR_FAILED, "no memory for the tables of the server");
	server->link = link_new(loop, options, server->metrics, error);
	if (!server->link || !link_on(server->link, TOPIC_CSR, renewal_on_csr, server, error))
		return error_prefix(error, "broker");
	return start_ticking(server, loop, error);
}

bool server_init(struct server *server, struct loop *loop, const struct options *options, struct error *error)
{
	*server = (struct server){.options = options, .started_ms = clock_mono_ms()};
	server->enroll.options = options;
	if (open_parts(server, loop, error))
		server->settle = settle_new(loop, server->enroll.pg, error);
	if (!server->settle) {
		server_done(server);
		return false;
	}
	const struct http_options http = {
		.address = options->listen_address,
		.port = (int)options->listen_port,
		.cert_file = options->tls_cert_file,
		.key_file = options->tls_key_file,
		.client_ca_file = options->ca_cert_file,
		.tls_changed = on_tls_changed,
		.body_max_bytes = HTTP_BODY_MAX_BYTES,
		.routes = routes,
		.route_count = sizeof(routes) / sizeof(routes[0]),
		.after = count_request,
		.user = server,
	};
	server->http = http_server_new(loop, &http, error);
	server->expiry = server->http ? loop_timer_new(loop, on_expiry, server, error) : NULL;
	if (!server->expiry) {
		server_done(server);
		return false;
	}
	loop_timer_every(server->expiry, EXPIRY_EVERY_MS);
	return true;
}

void server_done(struct server *server)
{
	loop_timer_free(server->expiry);
	settle_free(server->settle);
	http_server_free(server->http);
	loop_timer_free(server->tick);
	link_free(server->link);
	metrics_free(server->metrics);
	throttle_free(server->throttle);
	throttle_free(server->askers);
	throttle_free(server->renewals);
	pg_free(server->enroll.pg);
	authority_close(&server->authority);
	memset(server, 0, sizeof(*server));
}
