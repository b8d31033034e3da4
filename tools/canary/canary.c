#include "tools/canary/canary.h"

#include "common/clock.h"
#include "common/topic.h"
#include "tools/canary/findings.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define READ_MAX 100 // messages in one turn
#define RETRY_MS 1000
#define BARRED_MS 10000 // refused: somebody has revoked it, or the broker has lost its list
#define TICK_MS 500
#define CONNECT_TIMEOUT_MS 5000
#define TRY_BACKOFF_MS 500
#define DISCONNECT_TIMEOUT_MS 500

static void take_turn(struct canary *canary);

static void fail(struct canary *canary, const struct error *error, int64_t now_ms)
{
	bool away = error->kind == ERROR_UNREACHABLE || error->kind == ERROR_TIMEOUT || error->kind == ERROR_NOT_FOUND;

	log_fault(&canary->fault, "canary.failed", error);
	canary->retry_ms = now_ms + (away ? RETRY_MS : BARRED_MS);
}

// ---- the broker ----

static void on_connect(void *user, bool session_present)
{
	struct canary *canary = user;
	struct error error = {0};

	canary->admitted = true;
	if (canary->phase != CANARY_REPORTING)
		return;
	log_fault_over(&canary->broker_fault, "broker.away");
	if (!report_begin(&canary->report, canary->mqtt, &canary->identity, &error))
		log_fault(&canary->fault, "canary.failed", &error);
}

static void on_disconnect(void *user, const struct error *error)
{
	struct canary *canary = user;
	struct error failed = {0};

	canary->ended = true;
	canary->denied = canary->denied || error->kind == ERROR_DENIED;
	if (canary->phase != CANARY_REPORTING)
		return;
	log_fault(&canary->broker_fault, "broker.away", error);
	if (!report_will(&canary->report, canary->mqtt, &failed))
		log_fault(&canary->fault, "canary.failed", &failed);
}

static void on_message(void *user, const struct mqtt_message *message)
{
	struct canary *canary = user;
	struct topic topic;

	if (!topic_parse(message->topic, strlen(message->topic), &topic))
		return;
	if (topic.kind == TOPIC_STORED)
		report_stored(&canary->report, message->payload, message->payload_bytes);
	else if (topic.kind == TOPIC_CERTIFICATE)
		due_ask(&canary->due, ""); // another certificate or bundle is to be had: the next enrolment brings it
}

static void drop(struct canary *canary)
{
	loop_watch_free(canary->mqtt_watch);
	canary->mqtt_watch = NULL;
	canary->mqtt_fd = -1;
	mqtt_free(canary->mqtt);
	canary->mqtt = NULL;
	canary->ended = canary->denied = canary->admitted = false;
}

// A session to report in, or a try to come back with the revoked certificate.
static bool connect_broker(struct canary *canary, int backoff_max_ms, struct error *error)
{
	static const struct mqtt_handlers handlers = {
		.on_connect = on_connect, .on_disconnect = on_disconnect, .on_message = on_message};
	const struct mqtt_options options = {
		.host = canary->identity.host,
		.port = canary->identity.port,
		.client_id = canary->device,
		.tls = canary->identity.tls,
		.keepalive_s = MQTT_KEEPALIVE_S,
		.clean_start = true,
		.receive_maximum = READ_MAX,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.backoff_max_ms = backoff_max_ms,
	};

	drop(canary);
	canary->mqtt = mqtt_new(&options, &handlers, canary, error);
	return canary->mqtt != NULL;
}

// ---- the database ----

static bool on_database(struct pg *pg, void *user, struct error *error)
{
	struct canary *canary = user;

	canary->pg_changed = canary->news = true;
	return findings_listen(pg, &canary->change, error);
}

static void on_notification(void *user, const char *channel, const char *payload)
{
	struct canary *canary = user;

	canary->news = true;
}

// False while the database is away.
static bool hear(struct canary *canary, struct error *error)
{
	char cause[PROOF_CAUSE_BYTES];

	if (!pg_ready(canary->pg, error) || !pg_notifications(canary->pg, on_notification, canary, error))
		return false;
	if (!canary->news)
		return true;
	if (!findings_news(canary->pg, &canary->change, cause, error))
		return false;
	canary->news = false;
	if (cause[0])
		due_ask(&canary->due, cause);
	return true;
}

// ---- phases ----

static bool enroll(struct canary *canary, struct error *error)
{
	if (!identity_enroll(&canary->identity, canary->pg, canary->options, canary->device, error) ||
	    !connect_broker(canary, MQTT_BACKOFF_SERVICE_MAX_MS, error) ||
	    !report_will(&canary->report, canary->mqtt, error))
		return false;
	log_info("canary.enrolled", "serial", canary->identity.serial);
	canary->phase = CANARY_REPORTING;
	return true;
}

static bool begin_proof(struct canary *canary, int64_t now_ms, struct error *error)
{
	char requested_at[sizeof(canary->proof.requested_at)];
	char cause[PROOF_CAUSE_BYTES];
	struct error why = {0};

	if (!findings_revoke(canary->pg, canary->options->cell, canary->identity.serial, requested_at, &why)) {
		if (why.kind == ERROR_NOT_FOUND) { // it was revoked already, by somebody else or unheard
			drop(canary);
			identity_done(&canary->identity);
			canary->phase = CANARY_ENROLLING;
		}
		*error = why;
		return error_prefix(error, "revoking %s", canary->identity.serial);
	}
	due_begin(&canary->due, now_ms, cause);
	proof_begin(&canary->proof, cause, canary->identity.serial, requested_at, now_ms);
	canary->ended = false;
	canary->phase = CANARY_PROVING;
	return true;
}

static bool report(struct canary *canary, int64_t now_ms, struct error *error)
{
	if (canary->denied) {
		drop(canary);
		identity_done(&canary->identity);
		canary->phase = CANARY_ENROLLING;
		canary->retry_ms = now_ms + BARRED_MS;
		return true;
	}
	if (!mqtt_connected(canary->mqtt))
		return true;
	if (now_ms >= due_at_ms(&canary->due) && pg_connected(canary->pg))
		return begin_proof(canary, now_ms, error);
	return report_reading(&canary->report, canary->mqtt, canary->cut_s, now_ms, error);
}

// What was seen since the last turn. A session that ends for another reason in this very moment counts as cut, too: the
// tries to come back decide.
static bool see(struct canary *canary, int64_t now_ms, struct error *error)
{
	struct proof *proof = &canary->proof;
	double seconds = 0;

	if (proof->step == PROOF_AWAIT_CUT && canary->ended) {
		if (!findings_seconds_since(canary->pg, proof->requested_at, &seconds, error))
			return false;
		proof_cut(proof, seconds, now_ms);
		drop(canary);
	} else if (proof->step == PROOF_TRY && (canary->admitted || canary->denied)) {
		proof_answered(proof, canary->admitted, now_ms);
		drop(canary);
	}
	return true;
}

static bool prove(struct canary *canary, int64_t now_ms, struct error *error)
{
	enum proof_step before;

	if (!see(canary, now_ms, error))
		return false;
	before = canary->proof.step;
	switch (proof_next(&canary->proof, now_ms)) {
	case PROOF_AWAIT_CUT:
		break;
	case PROOF_TRY:
		if (before != PROOF_TRY)
			drop(canary); // the session that was not cut
		return canary->mqtt || connect_broker(canary, TRY_BACKOFF_MS, error);
	case PROOF_OVER:
		drop(canary);
		canary->phase = CANARY_WRITING;
		break;
	}
	return true;
}

static void tell(const struct proof *proof)
{
	char seconds[32];

	(void)snprintf(seconds, sizeof(seconds), "%.3f", proof->cut_s);
	log_write(proof_holds(proof) ? LOG_INFO : LOG_ERROR,
		  proof_holds(proof) ? "revocation.proven" : "revocation.unproven", "serial", proof->serial, "cause",
		  proof->cause[0] ? proof->cause : "schedule", "cut", proof->cut ? "true" : "false", "seconds",
		  proof->cut ? seconds : NULL, "refused", log_number(proof->refused), "admitted",
		  log_number(proof->admitted), (const char *)NULL);
}

static bool write_down(struct canary *canary, struct error *error)
{
	struct proof *proof = &canary->proof;

	if (!findings_add(canary->pg, canary->options->cell, proof, error))
		return error_prefix(error, "writing down a proof");
	tell(proof);
	canary->ok = proof_holds(proof);
	canary->proven = true;
	canary->cut_s = proof->cut ? proof->cut_s : -1;
	status_count(canary, canary->ok);
	identity_done(&canary->identity);
	canary->phase = CANARY_ENROLLING;
	canary->retry_ms = 0;
	return true;
}

static bool act(struct canary *canary, int64_t now_ms, struct error *error)
{
	switch (canary->phase) {
	case CANARY_ENROLLING:
		return enroll(canary, error);
	case CANARY_REPORTING:
		return report(canary, now_ms, error);
	case CANARY_PROVING:
		return prove(canary, now_ms, error);
	case CANARY_WRITING:
		return write_down(canary, error);
	}
	return true;
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

static void watch_again(struct canary *canary, struct loop_watch **watch, int fd, int events)
{
	struct error error = {0};

	loop_watch_free(*watch);
	*watch = NULL;
	if (fd < 0)
		return;
	*watch = loop_watch_new(canary->loop, fd, events, on_ready, canary, &error);
	if (!*watch)
		log_error("loop.watch", "error", error.what);
}

static void watch_descriptors(struct canary *canary)
{
	int fd = canary->mqtt ? mqtt_fd(canary->mqtt) : -1;
	int events = fd >= 0 ? mqtt_poll_events(canary->mqtt) : 0;
	int wanted = ((events & POLLIN) ? LOOP_READ : 0) | ((events & POLLOUT) ? LOOP_WRITE : 0);

	if (fd != canary->mqtt_fd) {
		watch_again(canary, &canary->mqtt_watch, fd, wanted);
		canary->mqtt_fd = fd;
	} else if (canary->mqtt_watch) {
		(void)loop_watch_set(canary->mqtt_watch, wanted);
	}
	if (canary->pg_changed || !pg_connected(canary->pg)) {
		watch_again(canary, &canary->pg_watch, pg_fd(canary->pg), LOOP_READ);
		canary->pg_changed = false;
	}
}

static void take_turn(struct canary *canary)
{
	int timeout_ms = TICK_MS;
	enum canary_phase before;
	struct error error = {0};

	if (canary->mqtt)
		(void)mqtt_read(canary->mqtt, READ_MAX);
	if (!hear(canary, &error))
		fail(canary, &error, clock_mono_ms());
	do {
		int64_t now_ms = clock_mono_ms();

		before = canary->phase;
		if (now_ms >= canary->retry_ms && !act(canary, now_ms, &error))
			fail(canary, &error, now_ms);
	} while (canary->phase != before);
	if (error.kind == ERROR_NONE && canary->phase == CANARY_REPORTING && mqtt_connected(canary->mqtt))
		log_fault_over(&canary->fault, "canary.failed");
	if (canary->mqtt) {
		mqtt_write(canary->mqtt);
		mqtt_tick(canary->mqtt);
		mqtt_write(canary->mqtt); // what the tick queued
		if (mqtt_timeout_ms(canary->mqtt) >= 0 && mqtt_timeout_ms(canary->mqtt) < timeout_ms)
			timeout_ms = mqtt_timeout_ms(canary->mqtt);
	}
	status_tell(canary);
	watch_descriptors(canary);
	loop_timer_once(canary->tick, timeout_ms);
}

// ---- making ----

bool canary_init(struct canary *canary, const struct options *options, struct error *error)
{
	*canary = (struct canary){.options = options, .mqtt_fd = -1, .change = -1, .cut_s = -1};
	(void)snprintf(canary->device, sizeof(canary->device), "canary-%ld", options->cell);
	report_init(&canary->report, canary->device);
	part_state_init(&canary->part, "canary", "canary", options->cell);
	due_init(&canary->due, options->every_s * 1000, options->gap_s * 1000);
	canary->metrics = metrics_new();
	canary->loop = loop_new(error);
	if (!canary->loop || !loop_stop_on_signals(canary->loop, error))
		return false;
	canary->pg = pg_new(options->conninfo, "muster-canary", error);
	canary->tick = canary->pg ? loop_timer_new(canary->loop, on_tick, canary, error) : NULL;
	if (!canary->tick)
		return false;
	pg_on_connect(canary->pg, on_database, canary);
	loop_timer_once(canary->tick, 0);
	return status_start(canary, error);
}

void canary_done(struct canary *canary)
{
	struct error error = {0};

	http_server_free(canary->http);
	if (canary->mqtt && canary->phase == CANARY_REPORTING && mqtt_connected(canary->mqtt)) {
		// A clean DISCONNECT discards the will, so it says itself that it leaves.
		if (!report_goodbye(&canary->report, canary->mqtt, &error))
			log_warn("canary.goodbye", "error", error.what);
		mqtt_disconnect(canary->mqtt, DISCONNECT_TIMEOUT_MS);
	}
	drop(canary);
	loop_watch_free(canary->pg_watch);
	loop_timer_free(canary->tick);
	pg_free(canary->pg);
	loop_free(canary->loop);
	identity_done(&canary->identity);
	metrics_free(canary->metrics);
}
