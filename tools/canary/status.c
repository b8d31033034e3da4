#include "tools/canary/canary.h"

#include "common/clock.h"

#include "common/json.h"

#define METRICS_MAX_BYTES 1048576

static struct metric *proofs(struct canary *canary, bool ok)
{
	return metrics_counter(canary->metrics, "muster_canary_proofs_total", ok ? "ok=\"true\"" : "ok=\"false\"",
			       "Revocations of its own certificate, by whether it was cut and refused");
}

void status_count(struct canary *canary, bool ok)
{
	metric_add(proofs(canary, ok), 1);
	metric_add(proofs(canary, !ok), 0); // both are there from the first on
	if (canary->proof.cut)
		metric_observe(metrics_histogram(canary->metrics, "muster_canary_cut_seconds", NULL,
						 "From the request until its session was cut"),
			       canary->proof.cut_s);
}

static void get_health(struct http_request *request, void *user)
{
	const struct canary *canary = user;
	bool database = pg_connected(canary->pg);
	bool session = canary->phase != CANARY_ENROLLING;
	bool ok = database && session && (canary->ok || !canary->proven);
	struct json *body = json_new_object();

	json_set_string(body, "status", ok ? "ok" : "degraded");
	json_set_bool(body, "database", database);
	json_set_bool(body, "enrolled", session);
	if (canary->proven)
		json_set_bool(body, "proven", canary->ok);
	else
		json_set_string(body, "proven", NULL);
	json_set_string(body, "version", MUSTER_VERSION);
	http_reply_json(request, ok ? 200 : 503, body);
}

static void get_metrics(struct http_request *request, void *user)
{
	struct canary *canary = user;
	auto_buf struct buf text = {0};

	metric_set(metrics_gauge(canary->metrics, "muster_canary_proven", NULL,
				 "1 while the last proof held, 0 when it did not or there was none"),
		   canary->proven && canary->ok);
	metric_set(metrics_gauge(canary->metrics, "muster_broker_connected", NULL, "1 while the MQTT session is up"),
		   canary->phase == CANARY_REPORTING && canary->mqtt && mqtt_connected(canary->mqtt));
	metric_set(metrics_gauge(canary->metrics, "muster_database_connected", NULL, "1 while the database answers"),
		   pg_connected(canary->pg));
	buf_init(&text, METRICS_MAX_BYTES);
	metrics_write(canary->metrics, &text);
	http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text), text.len_bytes);
}

void status_tell(struct canary *canary)
{
	const char *why = !canary->ok && canary->proven ?
				  "the last proof failed: a revoked certificate was not cut or was let in again; see "
				  "Certificates and the broker's log" :
			  canary->phase == CANARY_ENROLLING && canary->retry_ms > clock_mono_ms() ?
				  "it cannot enrol: its log says why" :
							      NULL;
	struct error error = {0};
	struct json *detail;

	if (!pg_connected(canary->pg) || canary->phase == CANARY_PROVING ||
	    !part_state_due(&canary->part, !why, clock_mono_ms()))
		return;
	detail = json_new_object();
	json_set_int(detail, "cell", canary->options->cell);
	json_set_bool(detail, "broker", canary->mqtt && mqtt_connected(canary->mqtt));
	if (!part_state_tell(&canary->part, canary->pg, why, detail, &error))
		log_fault(&canary->part_fault, "state.untold", &error);
	else
		log_fault_over(&canary->part_fault, "state.untold");
}

static const struct http_route routes[] = {
	{"GET", "/health", get_health, 0},
	{"GET", "/metrics", get_metrics, 0},
};

bool status_start(struct canary *canary, struct error *error)
{
	const struct http_options options = {
		.address = canary->options->http_address,
		.port = (int)canary->options->http_port,
		.body_max_bytes = 1024,
		.routes = routes,
		.route_count = sizeof(routes) / sizeof(routes[0]),
		.user = canary,
	};

	if (options.port == 0)
		return true;
	canary->http = http_server_new(canary->loop, &options, error);
	return canary->http != NULL;
}
