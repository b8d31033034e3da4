#include "ingest/health.h"

#include "common/http.h"
#include "common/limits.h"
#include "common/mqtt.h"

#include <errno.h>
#include <stdlib.h>

#define METRICS_MAX_BYTES ((size_t)1024 * 1024)

struct health {
	struct loop *loop;
	struct http_server *server;
	struct metrics *metrics;
	const struct health_facts *facts;
	struct metric *broker, *silent, *database;
};

static void get_health(struct http_request *request, void *user)
{
	const struct health_facts *facts = ((const struct health *)user)->facts;
	bool well = facts->broker && !facts->silent && facts->database && !facts->waiting;
	struct json *json = json_new_object();
	json_set_string(json, "status", well ? "ok" : "degraded");
	json_set_bool(json, "broker", facts->broker);
	json_set_bool(json, "broker_silent", facts->silent);
	json_set_bool(json, "database", facts->database);
	json_set_bool(json, "waiting", facts->waiting);
	http_reply_json(request, well ? 200 : 503, json);
}

static void get_metrics(struct http_request *request, void *user)
{
	struct health *health = user;
	struct buf text auto_buf;
	buf_init(&text, METRICS_MAX_BYTES);
	metric_set(health->broker, health->facts->broker);
	metric_set(health->silent, health->facts->silent);
	metric_set(health->database, health->facts->database);
	metrics_write(health->metrics, &text);
	http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text), text.len_bytes);
}

static const struct http_route routes[] = {
	{"GET", "/health", get_health, 0},
	{"GET", "/metrics", get_metrics, 0},
};

struct health *health_new(const struct options *options, struct metrics *metrics, const struct health_facts *facts,
			  struct error *error)
{
	struct health *health cleanup(health_free_cleanup) = calloc(1, sizeof(*health));
	if (!health) {
		error_errno(error, ENOMEM, "cannot make the health server");
		return NULL;
	}
	health->metrics = metrics;
	health->facts = facts;
	health->broker = metrics_gauge(metrics, "muster_ingest_broker_connected", NULL, "1 with a broker session.");
	health->silent = metrics_gauge(metrics, "muster_broker_silent", NULL, MQTT_SILENT_HELP);
	health->database =
		metrics_gauge(metrics, "muster_ingest_database_connected", NULL, "1 when connected.");
	health->loop = loop_new(error);
	if (!health->loop)
		return NULL;
	struct http_options http = {
		.address = options->http_address,
		.port = (int)options->http_port,
		.body_max_bytes = HTTP_BODY_MAX_BYTES,
		.routes = routes,
		.route_count = sizeof(routes) / sizeof(routes[0]),
		.user = health,
	};
	health->server = http_server_new(health->loop, &http, error);
	return health->server ? steal(health) : NULL;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	http_server_free(health->server);
	loop_free(health->loop);
	free(health);
}

bool health_serve(struct health *health, struct error *error)
{
	return loop_run_once(health->loop, 0, error);
}
