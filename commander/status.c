#include "commander/status.h"

#include "commander/commander.h"

#include "common/clock.h"

#include <string.h>

#define METRICS_MAX_BYTES 1048576

static void get_health(struct http_request *request, void *user)
{
	struct commander *commander = user;
	bool database = pg_connected(commander->pg) && !commander->failed;
	bool silent = mqtt_silent(commander->mqtt), broker = mqtt_connected(commander->mqtt);
	bool well = database && broker && !silent;
	struct json *body = json_new_object();

	json_set_string(body, "status", well ? "ok" : "degraded");
	json_set_bool(body, "database", database);
	json_set_bool(body, "broker", broker);
	json_set_bool(body, "broker_silent", silent);
	json_set_bool(body, "revocations", commander->revocation.told && commander->revocation.readable &&
						   commander->revocation.waiting == 0 && !commander->revocation.record);
	json_set(body, "wake", wake_health(&commander->wake));
	json_set(body, "mail", mail_health(&commander->mail));
	json_set_string(body, "version", MUSTER_VERSION);
	http_reply_json(request, well ? 200 : 503, body);
}

// What is not well, and what to do; NULL: all is.
static const char *trouble(const struct commander *commander)
{
	const struct revocation *revocation = &commander->revocation;

	if (!mqtt_connected(commander->mqtt))
		return "no session with the broker: commands wait; look whether it runs and lets svc.commander in";
	if (mqtt_silent(commander->mqtt))
		return MQTT_SILENT_WHY;
	if (revocation->told && !revocation->readable)
		return "the broker cannot read its list of revocations and lets nobody in: see the broker's log";
	return NULL;
}

static void watch_silence(struct commander *commander)
{
	struct error error = {0};

	if (mqtt_silent(commander->mqtt)) {
		(void)error_set(&error, ERROR_TIMEOUT, MQTT_SILENT_WHY);
		log_fault(&commander->silence_fault, "broker.silent", &error);
	} else {
		log_fault_over(&commander->silence_fault, "broker.silent");
	}
}

void status_tell(struct commander *commander)
{
	const char *why = trouble(commander);
	struct error error = {0};
	struct json *detail;

	watch_silence(commander);
	if (commander->failed || !pg_connected(commander->pg) ||
	    !part_state_due(&commander->part, !why, clock_mono_ms()))
		return;
	detail = json_new_object();
	json_set(detail, "broker", broker_facts(&commander->broker));
	json_set(detail, "wake", wake_health(&commander->wake));
	json_set_int(detail, "revocations_waiting", (int64_t)commander->revocation.waiting);
	if (!part_state_tell(&commander->part, commander->pg, why, detail, &error))
		log_fault(&commander->part_fault, "state.untold", &error);
	else
		log_fault_over(&commander->part_fault, "state.untold");
}

static void get_metrics(struct http_request *request, void *user)
{
	struct commander *commander = user;
	auto_buf struct buf text = {0};

	metric_set(metrics_gauge(commander->metrics, "muster_broker_connected", NULL, "1 while the MQTT session is up"),
		   mqtt_connected(commander->mqtt));
	metric_set(metrics_gauge(commander->metrics, "muster_broker_silent", NULL, MQTT_SILENT_HELP),
		   mqtt_silent(commander->mqtt));
	metric_set(metrics_gauge(commander->metrics, "muster_database_connected", NULL, "1 while the database answers"),
		   pg_connected(commander->pg) && !commander->failed);
	metric_set(metrics_gauge(commander->metrics, "muster_messages_waiting", NULL,
				 "MQTT messages kept until the broker is back"),
		   (double)commander->outgoing.count);
	metric_set(metrics_gauge(commander->metrics, "muster_revocations_waiting", NULL,
				 "Revocations and restores that the broker has not confirmed"),
		   (double)commander->revocation.waiting);
	metric_set(metrics_gauge(commander->metrics, "muster_revocation_list_differs", NULL,
				 "1 while the broker's list holds names that the database does not know"),
		   commander->revocation.differs);
	wake_show_metrics(commander);
	mail_show_metrics(commander);
	hook_show_metrics(commander);
	buf_init(&text, METRICS_MAX_BYTES);
	metrics_write(commander->metrics, &text);
	http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text), text.len_bytes);
}

static const struct http_route routes[] = {
	{"GET", "/health", get_health, 0},
	{"GET", "/metrics", get_metrics, 0},
};

bool status_start(struct commander *commander, struct error *error)
{
	struct http_options options = {
		.address = commander->options->http_address,
		.port = (int)commander->options->http_port,
		.body_max_bytes = 1024,
		.routes = routes,
		.route_count = sizeof(routes) / sizeof(routes[0]),
		.user = commander,
	};

	if (options.port == 0)
		return true;
	commander->http = http_server_new(commander->loop, &options, error);
	return commander->http != NULL;
}
