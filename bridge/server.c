#include "bridge/server.h"

#include "bridge/application.h"
#include "bridge/claim.h"
#include "bridge/download.h"
#include "bridge/health.h"
#include "bridge/note.h"
#include "bridge/renewal.h"
#include "bridge/visit.h"
#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define EXPIRY_EVERY_MS 15000
#define TICK_MS 1000
#define DESCRIPTORS_OTHER 64

// Which limit counts a request.
enum road {
	ROAD_OPEN,     // none here: open to all, or with limits of its own
	ROAD_STRANGER, // that of the address
	ROAD_DEVICE,   // that of the device, once its credential holds
};

static const struct http_route routes[] = {
	{"POST", "/v1/heartbeat", visit_heartbeat, ROAD_DEVICE},
	{"GET", "/v1/commands", visit_commands, ROAD_DEVICE},
	{"POST", "/v1/action-result", visit_action_result, ROAD_DEVICE},
	{"POST", "/v1/events", visit_event, ROAD_DEVICE},
	{"POST", "/v1/register", claim_handle_credential, ROAD_STRANGER},
	{"POST", "/v1/enroll", claim_handle, ROAD_STRANGER},
	{"POST", "/v1/registration", application_ask, ROAD_OPEN},
	{"GET", "/v1/registration", application_poll, ROAD_OPEN},
	{"POST", "/v1/renew", renewal_handle, ROAD_OPEN},
	{"GET", "/v1/agents/{file}", download_handle, ROAD_STRANGER},
	{"GET", "/health", health_handle, 0},
	{"GET", "/ready", health_handle_ready, 0},
	{"GET", "/metrics", health_handle_metrics, 0},
};

static struct answer_metrics find_metrics(struct server *server, const char *method, const char *pattern, int status)
{
	struct answer_metrics found = {.pattern = pattern, .method = method[0], .status = status};
	char labels[160];

	(void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",status=\"%d\"", method, pattern, status);
	found.count = metrics_counter(server->metrics, "muster_http_requests_total", labels, "HTTP requests answered");
	(void)snprintf(labels, sizeof(labels), "route=\"%s\"", pattern);
	found.seconds = metrics_histogram(server->metrics, "muster_http_request_duration_seconds", labels,
					  "Time from request to answer");
	return found;
}

static void count_request(struct http_request *request, int status, int64_t duration_us, void *user)
{
	struct server *server = user;
	const char *pattern = http_route_pattern(request);
	const char *method = http_route_method(request);
	struct answer_metrics *slot = NULL;
	struct answer_metrics found;

	if (pattern)
		slot = &server->answers[((uintptr_t)pattern / sizeof(void *) + (unsigned)status) % ANSWER_KINDS];
	if (slot && slot->pattern == pattern && slot->status == status && slot->method == method[0]) {
		found = *slot;
	} else {
		found = find_metrics(server, method, pattern ? pattern : "none", status);
		if (slot)
			*slot = found;
	}
	metric_add(found.count, 1);
	metric_observe(found.seconds, (double)duration_us / 1e6);
}

static bool is_allowed(struct http_request *request, void *user)
{
	struct server *server = user;
	int64_t retry_after_s = 1;
	char seconds[24];

	if (http_route_tag(request) != ROAD_STRANGER ||
	    quota_take(server->strangers, http_peer(request), clock_mono_ms(), &retry_after_s))
		return true;
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)retry_after_s);
	http_reply_header(request, "Retry-After", seconds);
	http_reply_problem(request, 429, "too many requests from this address; wait and try again");
	return false;
}

enum channel { CHANNEL_COMMAND, CHANNEL_REVOCATION };
static const char *const channels[] = {[CHANNEL_COMMAND] = "muster_command",
				       [CHANNEL_REVOCATION] = "muster_revocation", NULL};

static void on_notified(size_t channel, void *user)
{
	struct server *server = user;

	if (channel == CHANNEL_REVOCATION) {
		credentials_revoked(server->credentials);
		return;
	}
	poll_changed(server->poll);
}

static void on_connected(void *user)
{
	struct server *server = user;

	contacts_adopt(server->contacts);
}

static void on_forgotten(const char *device, void *user)
{
	struct server *server = user;

	poll_end(server->poll, device);
}

static void on_poll_answered(const char *device, void *user)
{
	struct server *server = user;

	contacts_seen(server->contacts, device, false);
}

static bool is_waiting(const char *device, void *user)
{
	const struct server *server = user;

	return poll_waits(server->poll, device);
}

// What serves HTTP-only devices. The worker starts last: it calls back into the others.
static bool open_device_parts(struct server *server, struct loop *loop, struct error *error)
{
	const struct options *options = server->options;
	const struct worker_options worker = {
		.conninfo = options->conninfo,
		.application_name = "muster-bridge-devices",
		.channels = channels,
		.notified = on_notified,
		.connected = on_connected,
		.user = server,
	};

	server->strangers = quota_new(ENROLL_ADDRESSES_MAX, (struct quota_rate){options->address_per_min,
										options->address_per_min});
	server->worker = worker_new(loop, &worker, error);
	if (!server->strangers || !server->worker)
		return server->strangers || error_set(error, ERROR_FAILED, "no memory for the table of addresses");
	const struct credentials_options credentials = {
		.worker = server->worker,
		.strangers = server->strangers,
		.devices = {options->device_per_min, options->device_per_min},
		.metrics = server->metrics,
		.forgotten = on_forgotten,
		.user = server,
	};
	const struct poll_options poll = {
		.worker = server->worker,
		.metrics = server->metrics,
		.waiting_max = (size_t)options->polls_max,
		.answered = on_poll_answered,
		.user = server,
	};
	const struct contacts_options contacts = {
		.link = server->link,
		.worker = server->worker,
		.metrics = server->metrics,
		.offline_after_s = (int)options->offline_after_s,
		.here = is_waiting,
		.user = server,
	};
	server->credentials = credentials_new(&credentials, error);
	server->relay = server->credentials ? relay_new(loop, server->link, server->metrics,
							(int)options->stored_timeout_s * 1000, error) :
					      NULL;
	server->poll = server->relay ? poll_new(loop, &poll, error) : NULL;
	server->contacts = server->poll ? contacts_new(loop, &contacts, error) : NULL;
	return server->contacts;
}

// Each connection is a descriptor.
static void raise_descriptors(long connections)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= (rlim_t)connections + DESCRIPTORS_OTHER)
		return;
	limit.rlim_cur = (rlim_t)connections + DESCRIPTORS_OTHER;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); // with fewer, more wait in the kernel's queue
}

static void on_expiry(void *user)
{
	note_expired_tokens(user);
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

bool server_database_ok(const struct server *server)
{
	return worker_fresh(server->enroller);
}

// Also when nobody asks anything of it.
static void watch_database(struct server *server)
{
	bool silent = !server_database_ok(server);
	struct error error = {.kind = ERROR_NONE};

	metric_set(metrics_gauge(server->metrics, "muster_database_up", NULL, "1 while the database answers"), !silent);
	(void)error_set(&error, ERROR_UNREACHABLE, "the database does not answer; check that PostgreSQL runs");
	if (silent)
		log_fault(&server->database_fault, "database.failed", &error);
	else if (server->database_silent)
		log_fault_over(&server->database_fault, "database.failed");
	server->database_silent = silent;
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
	if (server->errands == 0)
		authority_forget(&server->authority);
	trust_tick(&server->trust, clock_mono_ms());
	watch_database(server);
	part_tell(&server->part, server->enroller, link_trouble(server->link));
}

static bool start_ticking(struct server *server, struct loop *loop, struct error *error)
{
	server->trust = (struct trust){
		.worker = server->enroller,
		.fault = &server->database_fault,
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
	const struct worker_options enroller = {.conninfo = options->conninfo, .application_name = "muster-bridge"};
	server->enroller = worker_new(loop, &enroller, error);
	if (!server->enroller ||
	    !cells_parse(options->cells, options->devices_host, (int)options->devices_port, &server->cells, error))
		return false;
	server->enroll.cells = &server->cells;
	server->throttle = throttle_new(ENROLL_ADDRESSES_MAX, ENROLL_FAILURES_MAX, ENROLL_WINDOW_MS);
	server->askers =
		throttle_new(ENROLL_ADDRESSES_MAX, (unsigned)options->registration_per_minute, ENROLL_WINDOW_MS);
	server->metrics = metrics_new();
	server->packages = packages_new(options->agents_dir, error);
	if (!server->packages)
		return false;
	server->renewals = throttle_new(ENROLL_ADDRESSES_MAX, RENEWALS_MAX, ENROLL_WINDOW_MS);
	if (!server->throttle || !server->askers || !server->renewals || !server->metrics)
		return error_set(error, ERROR_FAILED, "no memory for the tables of the server");
	server->link = link_new(loop, options, server->metrics, error);
	if (!server->link || !link_on(server->link, TOPIC_CSR, renewal_on_csr, server, error))
		return error_prefix(error, "broker");
	return open_device_parts(server, loop, error) && start_ticking(server, loop, error);
}

bool server_init(struct server *server, struct loop *loop, const struct options *options, struct error *error)
{
	*server = (struct server){.options = options, .started_ms = clock_mono_ms()};
	server->enroll.options = options;
	part_init(&server->part, options->listen_address, options->listen_port);
	if (open_parts(server, loop, error))
		server->settle = settle_new(loop, server->enroller, error);
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
		.before = is_allowed,
		.after = count_request,
		.connections_max = (int)options->connections_max,
		.user = server,
	};
	raise_descriptors(options->connections_max);
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
	loop_timer_free(server->tick);
	// Whoever still waits is answered while the connection is there.
	worker_free(server->worker);
	worker_free(server->enroller);
	relay_free(server->relay);
	poll_free(server->poll);
	settle_free(server->settle);
	http_server_free(server->http);
	credentials_free(server->credentials);
	contacts_free(server->contacts);
	link_free(server->link);
	quota_free(server->strangers);
	packages_free(server->packages);
	metrics_free(server->metrics);
	throttle_free(server->throttle);
	throttle_free(server->askers);
	throttle_free(server->renewals);
	authority_close(&server->authority);
	memset(server, 0, sizeof(*server));
}
