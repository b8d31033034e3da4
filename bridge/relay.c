#include "bridge/relay.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_MS 100
#define NAME_BYTES 24
#define RETRY_SPREAD_S 3
#define MIDS 65536 // MQTT packet identifiers
#define NO_MATCHING_SUBSCRIBERS 0x10

// A request that waits. Its name on the wire is its place and how often that was used.
struct relayed {
	struct http_request *request; // NULL: free
	uint32_t use;
	uint32_t older, newer; // the waiting ones, by age; or the next free one
	int mid;
	int64_t deadline_ms;
};

enum { NONE = RELAYED_MAX };

enum outcome { STORED, REFUSED, LATE, BUSY, OUTCOMES };

struct relay {
	struct link *link;
	struct loop_timer *timer;
	int timeout_ms;
	struct relayed *places;
	uint32_t *by_mid;
	uint32_t free, oldest, newest;
	size_t waiting;
	unsigned spread;
	struct metric *outcomes[OUTCOMES], *gauge;
	struct log_fault fault;
};

// ---- the table ----

static uint32_t take_place(struct relay *relay, struct http_request *request)
{
	uint32_t at = relay->free;
	struct relayed *place = NULL;

	if (at == NONE)
		return NONE;
	place = &relay->places[at];
	relay->free = place->newer;
	*place = (struct relayed){
		.request = request,
		.use = place->use + 1,
		.older = relay->newest,
		.newer = NONE,
		.deadline_ms = clock_mono_ms() + relay->timeout_ms,
	};
	if (relay->newest == NONE)
		relay->oldest = at;
	else
		relay->places[relay->newest].newer = at;
	relay->newest = at;
	relay->waiting++;
	return at;
}

static struct http_request *leave_place(struct relay *relay, uint32_t at)
{
	struct relayed *place = &relay->places[at];

	if (place->older == NONE)
		relay->oldest = place->newer;
	else
		relay->places[place->older].newer = place->newer;
	if (place->newer == NONE)
		relay->newest = place->older;
	else
		relay->places[place->newer].older = place->older;
	if (relay->by_mid[place->mid] == at)
		relay->by_mid[place->mid] = NONE;
	place->newer = relay->free;
	relay->free = at;
	relay->waiting--;
	return steal(place->request);
}

// NONE for the name of a request that does not wait (any more).
static uint32_t place_named(const struct relay *relay, const char *name)
{
	char *end = NULL;
	unsigned long at = strtoul(name, &end, 16);
	unsigned long use = *end == '-' ? strtoul(end + 1, &end, 16) : 0;

	if (*end != '\0' || at >= NONE || !relay->places[at].request || relay->places[at].use != use)
		return NONE;
	return (uint32_t)at;
}

// ---- answers ----

// 503 with a Retry-After that spreads those who come again.
static void reply_unavailable(struct relay *relay, struct http_request *request, const char *detail)
{
	char seconds[12];

	(void)snprintf(seconds, sizeof(seconds), "%u", 1 + relay->spread++ % RETRY_SPREAD_S);
	http_reply_header(request, "Retry-After", seconds);
	http_reply_problem(request, 503, detail);
}

static void settle(struct relay *relay, uint32_t at, enum outcome outcome, int status, const char *detail)
{
	struct http_request *request = leave_place(relay, at);

	metric_add(relay->outcomes[outcome], 1);
	if (status == 503)
		reply_unavailable(relay, request, detail);
	else
		http_reply_problem(request, status, detail);
}

static void on_stored(struct relay *relay, const char *name)
{
	static const char body[] = "{\"stored\":true}";
	uint32_t at = place_named(relay, name);

	if (at == NONE)
		return;
	metric_add(relay->outcomes[STORED], 1);
	http_reply(leave_place(relay, at), 200, "application/json", body, sizeof(body) - 1);
}

static void on_refused(struct relay *relay, const struct json *refusal)
{
	const char *name = "";
	const char *reason = "";
	bool foreign = false;
	uint32_t at = NONE;

	if (json_member_string(refusal, "correlation", &name) && json_member_string(refusal, "reason", &reason))
		at = place_named(relay, name);
	if (at == NONE)
		return;
	if (json_member_bool(refusal, "foreign", &foreign) && foreign)
		settle(relay, at, REFUSED, 403, "this device is not enrolled, or disabled");
	else
		settle(relay, at, REFUSED, 422, reason);
}

static void on_answer(const struct mqtt_message *message, void *user)
{
	struct relay *relay = user;
	struct error error = {.kind = ERROR_NONE};
	auto_json struct json *receipts =
		json_parse(message->payload_bytes > 0 ? message->payload : "", message->payload_bytes, &error);
	const struct json *stored = json_member(receipts, "stored");
	const struct json *refused = json_member(receipts, "refused");

	if (!receipts) {
		log_fault(&relay->fault, "receipt.malformed", &error);
		return;
	}
	for (size_t i = 0; i < json_array_length(stored); i++) {
		const char *name = NULL;

		if (json_as_string(json_array_at(stored, i), &name))
			on_stored(relay, name);
	}
	for (size_t i = 0; i < json_array_length(refused); i++)
		on_refused(relay, json_array_at(refused, i));
	metric_set(relay->gauge, (double)relay->waiting);
}

// The broker has it; whether it is stored is another matter, unless nobody will.
static void on_puback(int mid, int reason_code, void *user)
{
	struct relay *relay = user;
	uint32_t at = mid > 0 && mid < MIDS ? relay->by_mid[mid] : NONE;

	if (at == NONE || (reason_code != NO_MATCHING_SUBSCRIBERS && reason_code < 0x80))
		return;
	settle(relay, at, LATE, 503, "nobody takes messages in at the moment; send it again later");
}

static void on_timer(void *user)
{
	struct relay *relay = user;
	int64_t now_ms = clock_mono_ms();

	while (relay->oldest != NONE && relay->places[relay->oldest].deadline_ms <= now_ms)
		settle(relay, relay->oldest, LATE, 503, "it was not stored in time; send it again later");
	metric_set(relay->gauge, (double)relay->waiting);
}

// ---- taking in ----

static bool publish(struct relay *relay, uint32_t at, const char *device, enum topic_kind kind, struct error *error)
{
	struct relayed *place = &relay->places[at];
	char topic[TOPIC_MAX_BYTES];
	char name[NAME_BYTES];
	struct mqtt_publish message = {.topic = topic, .qos = 1, .correlation = name};

	if (!topic_build(topic, kind, device, NULL))
		return error_set(error, ERROR_INVALID, "\"%.63s\" is no device id", device);
	int name_bytes = snprintf(name, sizeof(name), "%x-%x", at, place->use);
	message.correlation_bytes = (size_t)name_bytes;
	message.payload = http_body(place->request, &message.payload_bytes);
	message.response_topic = link_response_topic(relay->link);
	message.request_id = http_request_id(place->request);
	if (!link_publish(relay->link, &message, &place->mid, error))
		return false;
	relay->by_mid[place->mid] = at;
	return true;
}

void relay_take(struct relay *relay, struct http_request *request, const char *device, enum topic_kind kind)
{
	struct error error = {.kind = ERROR_NONE};
	size_t len_bytes = 0;

	(void)http_body(request, &len_bytes);
	if (!http_expect_json(request))
		return;
	if (len_bytes == 0) {
		http_reply_problem(request, 400, "the body is empty; send a JSON object");
		return;
	}
	uint32_t at = link_ready(relay->link) ? take_place(relay, request) : NONE;
	if (at == NONE) {
		metric_add(relay->outcomes[BUSY], 1);
		reply_unavailable(relay, request, "nothing can be taken in at the moment; send it again later");
		return;
	}
	if (publish(relay, at, device, kind, &error)) {
		log_fault_over(&relay->fault, "relay.failed");
	} else {
		log_fault(&relay->fault, "relay.failed", &error);
		settle(relay, at, BUSY, 503, "nothing can be taken in at the moment; send it again later");
	}
}

// ---- making ----

static void make_metrics(struct relay *relay, struct metrics *metrics)
{
	static const char *const labels[OUTCOMES] = {"outcome=\"stored\"", "outcome=\"refused\"", "outcome=\"late\"",
						     "outcome=\"busy\""};

	for (int i = 0; i < OUTCOMES; i++)
		relay->outcomes[i] = metrics_counter(metrics, "muster_relayed_total", labels[i],
						     "Reports of HTTP-only devices by what became of them");
	relay->gauge = metrics_gauge(metrics, "muster_relayed_waiting", NULL, "Reports that wait for their COMMIT");
}

struct relay *relay_new(struct loop *loop, struct link *link, struct metrics *metrics, int timeout_ms,
			struct error *error)
{
	struct relay *relay cleanup(relay_free_cleanup) = calloc(1, sizeof(*relay));

	if (relay) {
		relay->places = calloc(RELAYED_MAX, sizeof(*relay->places));
		relay->by_mid = malloc(MIDS * sizeof(*relay->by_mid));
	}
	if (!relay || !relay->places || !relay->by_mid) {
		error_errno(error, ENOMEM, "cannot make the table of requests");
		return NULL;
	}
	relay->link = link;
	relay->timeout_ms = timeout_ms;
	relay->oldest = relay->newest = NONE;
	for (uint32_t i = 0; i < RELAYED_MAX; i++)
		relay->places[i].newer = i + 1; // the last one's is NONE
	for (size_t i = 0; i < MIDS; i++)
		relay->by_mid[i] = NONE;
	make_metrics(relay, metrics);
	relay->timer = loop_timer_new(loop, on_timer, relay, error);
	if (!relay->timer)
		return NULL;
	loop_timer_every(relay->timer, SWEEP_MS);
	link_on_answer(link, on_answer, relay);
	link_on_puback(link, on_puback, relay);
	return steal(relay);
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	while (relay->places && relay->by_mid && relay->waiting > 0)
		settle(relay, relay->oldest, LATE, 503, "the bridge is stopping; send it again later");
	loop_timer_free(relay->timer);
	free(relay->places);
	free(relay->by_mid);
	free(relay);
}
