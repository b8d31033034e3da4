#include "commander/commander.h"

#include "commander/status.h"
#include "commander/turn.h"

#include "common/clock.h"
#include "common/daemon.h"
#include "common/limits.h"
#include "common/topic.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISCONNECT_TIMEOUT_MS 1000
#define EXPIRY_EVERY_MS 1000
#define RETRY_MS 200 // pg_ready has a backoff of its own
#define SHARE "$share/commander/"
#define READ_MAX 500 // MQTT messages in one turn
#define TICK_MAX_MS 15000

static void take_turn(struct commander *commander);

void commander_due(struct commander *commander, unsigned due)
{
	if ((due & DUE_RESEND_ALL) && !(commander->due & DUE_RESEND_ALL))
		commander->resend_all_ms = clock_mono_ms();
	commander->due |= due;
}

// ---- the database ----

// LISTEN comes first: what is committed from here on is notified, and what was before is found by looking at
// everything. A transaction of ours that is stuck (this process was stopped) must not hold its rows against another
// commander. All our statements fetch a few rows by key: a plan that reads whole tables, made while they were small,
// must not stay.
static const char session_sql[] = "listen muster_request; listen muster_cancel; listen muster_result;"
				  " listen muster_revocation; listen muster_kick; listen muster_wake;"
				  " listen muster_campaign; listen muster_mail; listen muster_alert_rule;"
				  " listen muster_alert_channel; listen muster_console;"
				  " set enable_seqscan = off; set jit = off;"
				  " set idle_in_transaction_session_timeout = '15s'";

static bool on_database(struct pg *pg, void *user, struct error *error)
{
	struct commander *commander = user;

	if (!pg_exec(pg, session_sql, error))
		return false;
	commander->pg_changed = true;
	commander_due(commander, DUE_REQUESTS | DUE_CANCEL | DUE_RESULTS | DUE_EXPIRY | DUE_SCHEDULE | DUE_DISPATCH |
					 DUE_RESEND_ALL | DUE_REVOCATION | DUE_CAMPAIGNS | DUE_ALERTS | DUE_NOTIFY);
	console_tell_all(commander);
	wake_look_all(&commander->wake);
	mail_look(&commander->mail);
	hook_look(&commander->hook);
	signing_connected(commander);
	return true;
}

// ---- the broker ----

static void on_broker(void *user, bool session_present)
{
	struct commander *commander = user;
	char status[TOPIC_MAX_BYTES];
	char request[TOPIC_MAX_BYTES];
	char shared[TOPIC_MAX_BYTES + sizeof(SHARE)];
	bool share = commander->options->share_requests;
	struct error error = {0};

	log_fault_over(&commander->broker_fault, "broker.away");
	log_info("broker.connected", "session", session_present ? "present" : "new");
	if (!topic_build(status, TOPIC_STATUS, "+", NULL) || !topic_build(request, TOPIC_REQUEST, "+", NULL)) {
		log_error("broker.subscribe", "error", "a topic is too long");
		return;
	}
	(void)snprintf(shared, sizeof(shared), SHARE "%s", request);
	// The session may hold the other one, from before the option was changed.
	if (!mqtt_subscribe(commander->mqtt, share ? shared : request, 1, &error) ||
	    !mqtt_unsubscribe(commander->mqtt, share ? request : shared, &error) ||
	    !mqtt_subscribe(commander->mqtt, status, 1, &error) ||
	    !mqtt_subscribe(commander->mqtt, TOPIC_REVOCATIONS, 1, &error) ||
	    !broker_subscribe(commander->mqtt, &error))
		log_error("broker.subscribe", "error", error.what);
	revocation_connected(commander);
	console_tell_all(commander);
	commander_due(commander, DUE_DISPATCH | DUE_RESEND_ALL);
}

static void on_broker_lost(void *user, const struct error *error)
{
	struct commander *commander = user;

	log_fault(&commander->broker_fault, "broker.away", error);
	commander->broker = (struct broker_report){0};
	// Not acknowledged: the broker sends them again.
	operator_inbox_clear(&commander->inbox);
}

static void on_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	struct commander *commander = user;

	commander->subscribed = true; // to operators' requests: the broker answers in order
	for (size_t i = 0; i < count; i++) {
		if (reason_codes[i] >= 0x80)
			log_error("broker.subscribe", "error", "refused", "reason_code", log_number(reason_codes[i]));
	}
}

static void on_puback(void *user, int mid, int reason_code)
{
	struct commander *commander = user;
	struct error error = {0};

	mqtt_unacked_heard(&commander->unacked, mid);
	if (commander->crowded && commander->unacked.count == 0) {
		commander->crowded = false;
		commander_due(commander, DUE_DISPATCH | DUE_RESEND_ALL);
	}
	if (reason_code < 0x80) { // 0x10: the device has no session yet; it gets the command when it comes online
		log_fault_over(&commander->refused_fault, "publish.refused");
		return;
	}
	(void)error_set(&error, ERROR_DENIED,
			"the broker refused a message: reason code 0x%02x; its ACL file must allow "
			"commander to publish",
			(unsigned)reason_code);
	log_fault(&commander->refused_fault, "publish.refused", &error);
}

static void on_message(void *user, const struct mqtt_message *message)
{
	struct commander *commander = user;
	struct topic topic;

	if (strcmp(message->topic, TOPIC_REVOCATIONS) == 0) {
		revocation_told(commander, message->payload, message->payload_bytes);
		return;
	}
	if (broker_told(&commander->broker, message) || !topic_parse(message->topic, strlen(message->topic), &topic))
		return;
	if (topic.kind == TOPIC_REQUEST) {
		struct operator_inbox *inbox = &commander->inbox;

		// take_turn reads no more than fit, so a full inbox means a library that hands over more than it was
		// asked for: the message stays unacknowledged with the rest when the connection is cut.
		if (inbox->count == OPERATOR_INBOX_MAX)
			mqtt_cut(commander->mqtt);
		else if (operator_parse(message, &inbox->requests[inbox->count]))
			inbox->count++;
	} else if (topic.kind == TOPIC_STATUS && !message->retain && message->payload_bytes == strlen("online") &&
		   memcmp(message->payload, "online", message->payload_bytes) == 0) {
		// A retained status is old news, told at our own SUBSCRIBE.
		wake_contact(&commander->wake, topic.principal);
		if (!devices_add(&commander->online, topic.principal))
			commander_due(commander, DUE_DISPATCH | DUE_RESEND_ALL);
	}
}

// ---- turns ----

// Not for want of a connection, so it would fail each time. Whoever waits for it hears nothing: the log has to say it.
static enum outgoing_fate give_up(const struct outgoing_message *message, const struct error *error)
{
	log_warn("publish.given_up", "topic", message->topic, "error", error->what);
	return OUTGOING_REFUSED;
}

static enum outgoing_fate publish(void *user, const struct outgoing_message *message)
{
	struct commander *commander = user;
	struct mqtt_publish packet = {
		.topic = message->topic,
		.payload = message->payload,
		.payload_bytes = strlen(message->payload),
		.qos = 1,
		.correlation = message->correlation,
		.correlation_bytes = message->correlation_bytes,
		.request_id = message->request_id,
	};
	struct error error = {0};
	int mid = 0;

	if (!mqtt_unacked_has_room(&commander->unacked, packet.payload_bytes)) {
		commander->crowded = true;
		return OUTGOING_WAITS;
	}
	if (mqtt_publish(commander->mqtt, &packet, &mid, &error)) {
		mqtt_unacked_sent(&commander->unacked, mid, packet.payload_bytes);
		return OUTGOING_PUBLISHED;
	}
	return error.kind == ERROR_UNREACHABLE ? OUTGOING_WAITS : give_up(message, &error);
}

static size_t flush(struct commander *commander)
{
	size_t lost = 0;
	size_t published =
		outgoing_flush(&commander->outgoing, mqtt_connected(commander->mqtt), publish, commander, &lost);

	if (published > 0)
		metric_add(metrics_counter(commander->metrics, "muster_messages_published_total", NULL,
					   "Commands and replies handed to the broker"),
			   (double)published);
	if (lost > 0)
		log_warn("reply.lost", "count", log_number((int64_t)lost), "reason", "the broker is away for too long");
	return published;
}

// A request that an operator publishes before our first SUBACK would find nobody. Broker or database may also be away
// for longer than a supervisor waits: then it is told all the same (on_resend).
static void tell_ready(struct commander *commander, bool anyway)
{
	if (commander->ready || !(anyway || (commander->subscribed && pg_connected(commander->pg))))
		return;
	commander->ready = true;
	daemon_ready();
}

static void on_mqtt_ready(int fd, int ready, void *user)
{
	take_turn(user);
}

static void on_pg_ready(int fd, int ready, void *user)
{
	take_turn(user);
}

static void on_tick(void *user)
{
	take_turn(user);
}

static void on_retry(void *user)
{
	struct commander *commander = user;

	commander->failed = false;
	take_turn(commander);
}

static void on_expiry(void *user)
{
	struct commander *commander = user;

	commander_due(commander, DUE_EXPIRY | DUE_SCHEDULE | DUE_CAMPAIGNS | DUE_ALERTS | DUE_NOTIFY);
	revocation_tick(commander);
	wake_look(&commander->wake);
	mail_look(&commander->mail);
	hook_look(&commander->hook);
	signing_tick(commander);
	take_turn(commander);
	status_tell(commander);
}

// The safety net under the notifications.
static void on_resend(void *user)
{
	struct commander *commander = user;

	commander_due(commander, DUE_REQUESTS | DUE_CANCEL | DUE_RESULTS | DUE_DISPATCH | DUE_RESEND | DUE_REVOCATION);
	take_turn(commander);
	tell_ready(commander, true);
}

static void watch_again(struct commander *commander, struct loop_watch **watch, int fd, int events, loop_fd_fn *fn)
{
	struct error error = {0};

	loop_watch_free(*watch);
	*watch = NULL;
	if (fd < 0)
		return;
	*watch = loop_watch_new(commander->loop, fd, events, fn, commander, &error);
	if (!*watch)
		log_error("loop.watch", "error", error.what);
}

// A held inbox keeps everything: what is read would wait too, and any write would send its PUBACKs.
static void watch_descriptors(struct commander *commander)
{
	bool held = commander->inbox.count > 0;
	int events = mqtt_poll_events(commander->mqtt);
	int wanted = held ? 0 : ((events & POLLIN) ? LOOP_READ : 0) | ((events & POLLOUT) ? LOOP_WRITE : 0);
	int fd = mqtt_fd(commander->mqtt);

	if (fd != commander->mqtt_fd) {
		watch_again(commander, &commander->mqtt_watch, fd, wanted, on_mqtt_ready);
		commander->mqtt_fd = fd;
	} else if (commander->mqtt_watch) {
		(void)loop_watch_set(commander->mqtt_watch, wanted);
	}
	if (commander->pg_changed || !pg_connected(commander->pg)) {
		watch_again(commander, &commander->pg_watch, pg_fd(commander->pg), LOOP_READ, on_pg_ready);
		commander->pg_changed = false;
	}
}

static void set_timers(struct commander *commander)
{
	int timeout_ms = mqtt_timeout_ms(commander->mqtt);
	bool more = !commander->failed &&
		    (commander->due != 0 || commander->online.count > 0 || commander->freed.count > 0 ||
		     wake_is_due(&commander->wake) || mail_is_due(&commander->mail) || hook_is_due(&commander->hook));

	if (timeout_ms < 0 || timeout_ms > TICK_MAX_MS)
		timeout_ms = TICK_MAX_MS;
	if (commander->inbox.count > 0 &&
	    timeout_ms < RETRY_MS) // there may be more to read, which a held inbox does not
		timeout_ms = RETRY_MS;
	loop_timer_once(commander->tick, more ? 0 : timeout_ms);
	if (commander->failed)
		loop_timer_once(commander->retry, RETRY_MS);
}

static void take_turn(struct commander *commander)
{
	int64_t start_ms = clock_mono_ms();
	size_t room = OPERATOR_INBOX_MAX - commander->inbox.count;

	// The first read also drives the connection's making. A held inbox reads no more until it is committed.
	if (commander->inbox.count == 0)
		(void)mqtt_read(commander->mqtt, room < READ_MAX ? room : READ_MAX);
	turn_work(commander);
	size_t published = flush(commander);
	if (commander->inbox.count == 0)
		mqtt_write(commander->mqtt);
	if (published > 0)
		crash_here(&commander->crash, CRASH_PUBLISHED);
	mqtt_tick(commander->mqtt);
	if (commander->inbox.count == 0)
		mqtt_write(commander->mqtt); // what the tick queued
	watch_descriptors(commander);
	set_timers(commander);
	tell_ready(commander, false);
	metric_observe(metrics_histogram(commander->metrics, "muster_turn_seconds", NULL, "Duration of a turn"),
		       (double)(clock_mono_ms() - start_ms) / 1000);
}

// ---- making ----

static bool make_broker(struct commander *commander, struct error *error)
{
	static const struct mqtt_handlers handlers = {
		.on_connect = on_broker,
		.on_disconnect = on_broker_lost,
		.on_message = on_message,
		.on_puback = on_puback,
		.on_suback = on_suback,
	};
	const struct options *options = commander->options;
	struct mqtt_options session = {
		.host = options->broker_host,
		.port = (int)options->broker_port,
		.client_id = options->client_id,
		.ca_file = options->broker_ca_file,
		.cert_file = options->broker_cert_file,
		.key_file = options->broker_key_file,
		.keepalive_s = MQTT_KEEPALIVE_S,
		.session_expiry_s = UINT32_MAX, // operators' requests wait in it while we are away
		.receive_maximum = MQTT_RECEIVE_MAXIMUM,
		.silent_ms = (int)options->broker_silent_s * 1000,
	};

	commander->mqtt = mqtt_new(&session, &handlers, commander, error);
	return commander->mqtt != NULL;
}

static bool make_timers(struct commander *commander, struct error *error)
{
	int64_t resend_ms = commander->options->resend_s * 1000;

	commander->tick = loop_timer_new(commander->loop, on_tick, commander, error);
	commander->retry = commander->tick ? loop_timer_new(commander->loop, on_retry, commander, error) : NULL;
	commander->expiry = commander->retry ? loop_timer_new(commander->loop, on_expiry, commander, error) : NULL;
	commander->resend = commander->expiry ? loop_timer_new(commander->loop, on_resend, commander, error) : NULL;
	if (!commander->resend)
		return false;
	loop_timer_once(commander->tick, 0);
	loop_timer_every(commander->expiry, EXPIRY_EVERY_MS);
	loop_timer_every(commander->resend, resend_ms / 3 > 500 ? resend_ms / 3 : 500);
	return true;
}

bool commander_init(struct commander *commander, const struct options *options, struct error *error)
{
	*commander = (struct commander){.options = options, .mqtt_fd = -1, .due = DUE_RETELL};
	(void)snprintf(commander->cell, sizeof(commander->cell), "%ld", options->cell);
	commander->metrics = metrics_new();
	part_state_init(&commander->part, "commander", options->client_id, options->cell);
	if (!commander_crash_init(&commander->crash, error) ||
	    !signing_init(&commander->signing, options->signing_key_file, error))
		return false;
	commander->loop = loop_new(error);
	if (!commander->loop || !loop_stop_on_signals(commander->loop, error))
		return false;
	commander->pg = pg_new(options->conninfo, "muster-commander", error);
	if (!commander->pg)
		return false;
	pg_on_connect(commander->pg, on_database, commander);
	commander->verifier = verifier_new(error);
	if (!commander->verifier)
		return false;
	wake_init(commander);
	mail_init(commander);
	hook_init(commander);
	return mqtt_unacked_init(&commander->unacked, UNACKED_MAX, UNACKED_BYTES_MAX, error) &&
	       make_broker(commander, error) && make_timers(commander, error) && status_start(commander, error);
}

void commander_done(struct commander *commander)
{
	http_server_free(commander->http);
	if (commander->mqtt) {
		// A held inbox must come again: a DISCONNECT would first send its PUBACKs.
		if (commander->inbox.count > 0)
			mqtt_cut(commander->mqtt);
		else
			mqtt_disconnect(commander->mqtt, DISCONNECT_TIMEOUT_MS);
	}
	loop_watch_free(commander->mqtt_watch);
	loop_watch_free(commander->pg_watch);
	wake_done(&commander->wake); // before the loop that its connections are watched by
	mail_done(&commander->mail);
	hook_done(&commander->hook);
	loop_timer_free(commander->tick);
	loop_timer_free(commander->retry);
	loop_timer_free(commander->expiry);
	loop_timer_free(commander->resend);
	mqtt_free(commander->mqtt);
	pg_free(commander->pg);
	loop_free(commander->loop);
	signing_done(&commander->signing);
	operator_inbox_clear(&commander->inbox);
	outgoing_done(&commander->outgoing);
	mqtt_unacked_done(&commander->unacked);
	verifier_free(commander->verifier);
	devices_done(&commander->online);
	devices_done(&commander->freed);
	devices_done(&commander->kicks);
	campaign_done(&commander->campaigns);
	metrics_free(commander->metrics);
}
