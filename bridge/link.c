#include "bridge/link.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/mqtt_unacked.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "svc.bridge"
#define SHARE_GROUP "bridge"
#define GOODBYE_MS 1000
#define READ_MAX 2000 // MQTT messages in one turn
#define TICK_MAX_MS 15000
#define INSTANCE_BYTES 16 // whoever knew the topic could say that something is stored

struct subscription {
	enum topic_kind kind;
	link_message_fn *fn;
	void *user;
};

struct link {
	struct loop *loop;
	struct mqtt *mqtt;
	struct loop_watch *watch;
	struct loop_timer *tick;
	int fd;	      // that watch watches; -1 for none
	bool in_turn; // publishing now leaves with this turn
	bool due;     // a turn is on its way
	bool subscribed;

	struct subscription subscriptions[LINK_KINDS_MAX];
	size_t subscription_count;
	size_t subacks; // still to come
	char response_topic[TOPIC_MAX_BYTES];
	link_answer_fn *on_answer;
	void *answer_user;
	link_puback_fn *on_puback;
	void *puback_user;

	struct mqtt_unacked unacked;
	struct metric *published, *received, *refused, *queue, *up, *silent;
	struct log_fault away_fault, silence_fault, refused_fault;
};

static void take_turn(struct link *link);

// ---- what the session says ----

static void subscribe(struct link *link, const char *filter, int qos)
{
	struct error error = {.kind = ERROR_NONE};

	link->subacks++; // without its SUBACK we are not ready
	if (!mqtt_subscribe(link->mqtt, filter, qos, &error))
		log_error("broker.subscribe", "filter", filter, "error", error.what);
}

static bool filter_of(char out[TOPIC_MAX_BYTES], enum topic_kind kind)
{
	char filter[TOPIC_MAX_BYTES];

	return topic_build(filter, kind, "+", NULL) && topic_share(out, SHARE_GROUP, filter);
}

static void on_connect(void *user, bool session_present)
{
	struct link *link = user;
	char filter[TOPIC_MAX_BYTES];

	log_fault_over(&link->away_fault, "broker.away");
	link->subscribed = false;
	link->subacks = 0;
	for (size_t i = 0; i < link->subscription_count; i++) {
		if (filter_of(filter, link->subscriptions[i].kind))
			subscribe(link, filter, 1);
	}
	subscribe(link, link->response_topic, 0); // an answer that is lost is asked for again
}

static void on_disconnect(void *user, const struct error *error)
{
	struct link *link = user;

	link->subscribed = false;
	metric_set(link->up, 0);
	log_fault(&link->away_fault, "broker.away", error);
}

static void on_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	struct link *link = user;

	for (size_t i = 0; i < count; i++) {
		if (reason_codes[i] >= 0x80)
			log_error("broker.subscribe", "error", "refused", "reason_code", log_number(reason_codes[i]));
	}
	if (link->subacks > 0 && --link->subacks == 0) {
		link->subscribed = true;
		metric_set(link->up, 1);
		log_info("broker.connected");
	}
}

static void on_message(void *user, const struct mqtt_message *message)
{
	struct link *link = user;
	struct topic topic;

	metric_add(link->received, 1);
	if (strcmp(message->topic, link->response_topic) == 0) {
		if (link->on_answer)
			link->on_answer(message, link->answer_user);
		return;
	}
	if (!topic_parse(message->topic, strlen(message->topic), &topic))
		return;
	for (size_t i = 0; i < link->subscription_count; i++) {
		const struct subscription *subscription = &link->subscriptions[i];

		if (subscription->kind == topic.kind)
			subscription->fn(&topic, message, subscription->user);
	}
}

static void on_puback(void *user, int mid, int reason_code)
{
	struct link *link = user;
	struct error error;

	mqtt_unacked_heard(&link->unacked, mid);
	if (reason_code >= 0x80) {
		metric_add(link->refused, 1);
		error_set(&error, ERROR_DENIED,
			  "the broker refused a message: reason code 0x%02x; its ACL file must allow " SERVICE
			  " to publish",
			  (unsigned)reason_code);
		log_fault(&link->refused_fault, "publish.refused", &error);
	} else {
		log_fault_over(&link->refused_fault, "publish.refused");
	}
	if (link->on_puback)
		link->on_puback(mid, reason_code, link->puback_user);
}

// ---- turns ----

static void on_ready(int fd, int ready, void *user)
{
	take_turn(user);
}

static void on_tick(void *user)
{
	take_turn(user);
}

static void watch_socket(struct link *link)
{
	int events = mqtt_poll_events(link->mqtt);
	int wanted = ((events & POLLIN) ? LOOP_READ : 0) | ((events & POLLOUT) ? LOOP_WRITE : 0);
	int fd = mqtt_fd(link->mqtt);
	struct error error = {.kind = ERROR_NONE};

	if (fd == link->fd) {
		if (link->watch)
			(void)loop_watch_set(link->watch, wanted);
		return;
	}
	loop_watch_free(link->watch);
	link->watch = NULL;
	link->fd = fd;
	if (fd < 0)
		return;
	link->watch = loop_watch_new(link->loop, fd, wanted, on_ready, link, &error);
	if (!link->watch)
		log_error("loop.watch", "error", error.what);
}

static void watch_silence(struct link *link)
{
	struct error error = {.kind = ERROR_NONE};

	metric_set(link->silent, mqtt_silent(link->mqtt));
	if (mqtt_silent(link->mqtt)) {
		error_set(&error, ERROR_TIMEOUT, MQTT_SILENT_WHY);
		log_fault(&link->silence_fault, "broker.silent", &error);
	} else {
		log_fault_over(&link->silence_fault, "broker.silent");
	}
}

static void take_turn(struct link *link)
{
	link->in_turn = true;
	(void)mqtt_read(link->mqtt, READ_MAX);
	mqtt_tick(link->mqtt);
	mqtt_write(link->mqtt);
	link->in_turn = false;
	link->due = false;
	metric_set(link->queue, (double)link->unacked.count);
	watch_silence(link);
	watch_socket(link);
	int timeout_ms = mqtt_timeout_ms(link->mqtt);
	loop_timer_once(link->tick, timeout_ms < 0 || timeout_ms > TICK_MAX_MS ? TICK_MAX_MS : timeout_ms);
}

bool link_publish(struct link *link, const struct mqtt_publish *publish, int *mid, struct error *error)
{
	int given = 0;

	if (publish->qos > 0 && !mqtt_unacked_has_room(&link->unacked, publish->payload_bytes))
		return error_set(error, ERROR_LIMIT, "%zu messages wait for the broker already", link->unacked.count);
	if (!mqtt_publish(link->mqtt, publish, &given, error))
		return false;
	metric_add(link->published, 1);
	if (publish->qos > 0)
		mqtt_unacked_sent(&link->unacked, given, publish->payload_bytes);
	if (mid)
		*mid = given;
	if (!link->in_turn && !link->due) {
		link->due = true;
		loop_timer_once(link->tick, 0);
	}
	return true;
}

// ---- making ----

bool link_on(struct link *link, enum topic_kind kind, link_message_fn *fn, void *user, struct error *error)
{
	char filter[TOPIC_MAX_BYTES];
	size_t at = 0;

	if (!filter_of(filter, kind))
		return error_set(error, ERROR_INVALID, "topics of kind %s cannot be listened to here",
				 topic_kind_name(kind));
	while (at < link->subscription_count && link->subscriptions[at].kind != kind)
		at++;
	if (at == LINK_KINDS_MAX)
		return error_set(error, ERROR_LIMIT, "more than %d kinds of topic", LINK_KINDS_MAX);
	link->subscriptions[at] = (struct subscription){.kind = kind, .fn = fn, .user = user};
	if (at == link->subscription_count)
		link->subscription_count++;
	return true;
}

void link_on_answer(struct link *link, link_answer_fn *fn, void *user)
{
	link->on_answer = fn;
	link->answer_user = user;
}

void link_on_puback(struct link *link, link_puback_fn *fn, void *user)
{
	link->on_puback = fn;
	link->puback_user = user;
}

bool link_ready(const struct link *link)
{
	return link->subscribed && mqtt_connected(link->mqtt);
}

const char *link_trouble(const struct link *link)
{
	if (!link_ready(link))
		return "no session with the broker: devices that speak HTTP are answered 503; look whether it runs "
		       "and lets svc.bridge in";
	return mqtt_silent(link->mqtt) ? MQTT_SILENT_WHY : NULL;
}

const char *link_response_topic(const struct link *link)
{
	return link->response_topic;
}

static bool make_session(struct link *link, const struct options *options, struct error *error)
{
	static const struct mqtt_handlers handlers = {
		.on_connect = on_connect,
		.on_disconnect = on_disconnect,
		.on_message = on_message,
		.on_puback = on_puback,
		.on_suback = on_suback,
	};
	const struct mqtt_options session = {
		.host = options->broker_host,
		.port = (int)options->broker_port,
		.client_id = options->client_id,
		.ca_file = options->broker_ca_file,
		.cert_file = options->broker_cert_file,
		.key_file = options->broker_key_file,
		.keepalive_s = MQTT_KEEPALIVE_S,
		.clean_start = true,
		.receive_maximum = MQTT_RECEIVE_MAXIMUM,
		.inflight_maximum = MQTT_RECEIVE_MAXIMUM,
		.backoff_max_ms = MQTT_BACKOFF_SERVICE_MAX_MS,
		.silent_ms = (int)options->broker_silent_s * 1000,
	};

	link->mqtt = mqtt_new(&session, &handlers, link, error);
	return link->mqtt != NULL;
}

static void make_metrics(struct link *link, struct metrics *metrics)
{
	link->published = metrics_counter(metrics, "muster_mqtt_published_total", NULL, "Messages given to the broker");
	link->received = metrics_counter(metrics, "muster_mqtt_received_total", NULL, "Messages taken from the broker");
	link->refused = metrics_counter(metrics, "muster_mqtt_refused_total", NULL, "Messages that the broker refused");
	link->queue = metrics_gauge(metrics, "muster_mqtt_queued", NULL, "Messages that wait for their PUBACK");
	link->silent = metrics_gauge(metrics, "muster_broker_silent", NULL, MQTT_SILENT_HELP);
	link->up = metrics_gauge(metrics, "muster_broker_up", NULL, "1 while the session with the broker stands");
}

struct link *link_new(struct loop *loop, const struct options *options, struct metrics *metrics, struct error *error)
{
	struct link *link cleanup(link_free_cleanup) = calloc(1, sizeof(*link));
	uint8_t random[INSTANCE_BYTES];
	char instance[2 * INSTANCE_BYTES + 1];

	if (!link) {
		error_errno(error, ENOMEM, "cannot make the broker's session");
		return NULL;
	}
	if (!mqtt_unacked_init(&link->unacked, UNACKED_MAX, UNACKED_BYTES_MAX, error))
		return NULL;
	link->loop = loop;
	link->fd = -1;
	make_metrics(link, metrics);
	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), instance);
	if (!topic_response(link->response_topic, SERVICE, instance)) {
		error_set(error, ERROR_FAILED, "cannot name the response topic");
		return NULL;
	}
	link->tick = loop_timer_new(loop, on_tick, link, error);
	if (!link->tick || !make_session(link, options, error))
		return NULL;
	loop_timer_once(link->tick, 0);
	return steal(link);
}

void link_free(struct link *link)
{
	if (!link)
		return;
	loop_watch_free(link->watch);
	loop_timer_free(link->tick);
	if (link->mqtt)
		mqtt_disconnect(link->mqtt, GOODBYE_MS);
	mqtt_free(link->mqtt);
	mqtt_unacked_done(&link->unacked);
	free(link);
}
