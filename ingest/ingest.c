// One turn of the loop: wait, read a batch, commit it, answer, write. Any write to the broker sends every queued PUBACK
// with it, so nothing is written while a batch is not committed but a PINGREQ past the queue (mqtt_ping). While the
// database is away the batch stays, nothing more is read, and the broker keeps the rest in our session; if the session
// is cut meanwhile, the batch is thrown away, because all of it comes again.
#include "ingest/ingest.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/mqtt.h"
#include "ingest/answers.h"
#include "ingest/health.h"
#include "ingest/housekeeping.h"
#include "ingest/inlet.h"
#include "ingest/kind.h"
#include "ingest/presence.h"
#include "ingest/receipts.h"
#include "ingest/store.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define READ_CHUNK 32               // messages between two looks at the size of the batch
#define RETRY_BASE_MS 50            // full jitter, while a batch is held
#define RETRY_MAX_MS 2000           // draining begins soon after the cure
#define HEALTH_MS 100               // how long a request for /health may wait
#define UNSENT_MS 100               // between two looks at the rest, while the broker does not take what we send
#define DISCONNECT_MS 1000
#define PART_MS 1000 // between two tries to say how we are
#define GAPS_EVERY_MS 30000          // looks for gaps that count as lost, or more often when they do so sooner
#define GAPS_OFTEN_MS 1000
#define CLOCK_JUMP_MS 2000           // of the wall clock against the monotonic one

struct ingest {
	const struct options *options;
	int signal_fd;
	struct metrics *metrics;
	struct metric *dropped;
	struct mqtt *mqtt;
	struct store *store;
	struct answers *answers;
	struct receipts *receipts;
	struct housekeeping *housekeeping;
	struct health *health; // NULL: off
	struct health_facts facts;
	struct presence presence;
	struct sight sight;
	struct excess excess;
	struct part_state part;
	struct inlet inlet;
	struct batch batch;
	size_t subscribing; // SUBACKs still awaited since CONNACK
	bool held; // the batch could not be committed
	unsigned attempt;
	int64_t retry_ms;
	int64_t gaps_ms;
	int64_t clock_offset_ms; // of the wall clock to the monotonic one, at the last look
	bool clock_unknown;      // it may have been set back since last_seen was written
	struct log_fault database_fault, connect_fault, broker_fault, silence_fault, sweep_fault;
};

// In a group, status goes to every member all the same: retained messages reach no shared subscription (MQTT 5 section
// 4.8.2), and "offline" and "online" taken in by two members could be committed the wrong way round.
static bool subscribe(struct ingest *ingest, const struct kind *kind, struct error *error)
{
	const char *group = kind->topic == TOPIC_STATUS ? NULL : ingest->options->subscription_group;
	char filter[TOPIC_MAX_BYTES];
	char shared[TOPIC_MAX_BYTES];
	if (!topic_build(filter, kind->topic, "+", kind->detail))
		return error_set(error, ERROR_FAILED, "no filter for %s", topic_kind_name(kind->topic));
	if (!group)
		return mqtt_subscribe(ingest->mqtt, filter, 1, error);
	if (!topic_share(shared, group, filter))
		return error_set(error, ERROR_FAILED, "no shared filter for %s", topic_kind_name(kind->topic));
	// This session may be older than its membership: everything would come twice.
	return mqtt_unsubscribe(ingest->mqtt, filter, error) && mqtt_subscribe(ingest->mqtt, shared, 1, error);
}

static void on_connect(void *user, bool session_present)
{
	struct ingest *ingest = user;
	presence_connected(&ingest->presence, clock_mono_ms());
	sight_connected(&ingest->sight, clock_mono_ms());
	ingest->subscribing = inlet_kind_count();
	for (size_t i = 0; i < inlet_kind_count(); i++) {
		struct error error = {0};
		if (!subscribe(ingest, inlet_kind(i), &error))
			log_error("broker.subscribe", "error", error.what);
	}
	log_fault_over(&ingest->broker_fault, "broker.disconnected");
	log_info("broker.connected", "session", session_present ? "kept" : "new");
}

static void forget_batch(struct ingest *ingest)
{
	batch_clear(&ingest->batch);
	ingest->held = false;
}

static void on_disconnect(void *user, const struct error *error)
{
	struct ingest *ingest = user;
	log_fault(&ingest->broker_fault, "broker.disconnected", error);
	presence_disconnected(&ingest->presence);
	sight_lost(&ingest->sight);
	forget_batch(ingest); // not acknowledged: all of it comes again
	answers_clear(ingest->answers);
}

static void on_message(void *user, const struct mqtt_message *message)
{
	struct ingest *ingest = user;
	if (!inlet_take(&ingest->inlet, &ingest->batch, message, clock_wall_ms()))
		metric_add(ingest->dropped, 1);
}

static void on_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	struct ingest *ingest = user;
	bool granted = true;
	for (size_t i = 0; i < count; i++) {
		if (reason_codes[i] < 0x80)
			continue;
		granted = false;
		log_error("broker.subscription_refused", "code", log_number(reason_codes[i]));
	}
	if (granted && ingest->subscribing > 0)
		ingest->subscribing--;
}

static const struct mqtt_handlers handlers = {
	.on_connect = on_connect,
	.on_disconnect = on_disconnect,
	.on_message = on_message,
	.on_suback = on_suback,
};

static bool start_housekeeping(struct ingest *ingest, struct error *error)
{
	const struct options *options = ingest->options;
	const struct housekeeping_options housekeeping = {
		.conninfo = options->conninfo,
		.rollup_every_s = options->rollup_every_s,
		.telemetry_days = options->telemetry_days,
		.event_days = options->event_days,
		.rollup_days = options->rollup_days,
		.quarantine_days = options->quarantine_days,
		.command_days = options->command_days,
		.metrics = ingest->metrics,
	};
	ingest->housekeeping = housekeeping_new(&housekeeping, error);
	return ingest->housekeeping && housekeeping_start(ingest->housekeeping, error);
}

// What cannot be sent is asked for again.
static void send_receipts(void *user, const char *topic, const char *payload, size_t payload_bytes)
{
	struct ingest *ingest = user;
	const struct mqtt_publish message = {.topic = topic, .payload = payload, .payload_bytes = payload_bytes};
	if (!mqtt_publish(ingest->mqtt, &message, NULL, NULL))
		return;
}

static void keep_session(void *user)
{
	struct ingest *ingest = user;
	mqtt_ping(ingest->mqtt);
}

static bool make_parts(struct ingest *ingest, struct error *error)
{
	const struct options *options = ingest->options;
	const struct store_options store = {
		.conninfo = options->conninfo,
		.auto_register = options->auto_register,
		.mismatch_max = options->mismatch_max,
		.presence = &ingest->presence,
		.excess = &ingest->excess,
		.metrics = ingest->metrics,
		.waiting = keep_session,
		.user = ingest,
	};
	const struct mqtt_options mqtt = {
		.host = options->broker_host,
		.port = (int)options->broker_port,
		.client_id = options->broker_client_id,
		.ca_file = options->broker_ca_file,
		.cert_file = options->broker_cert_file,
		.key_file = options->broker_key_file,
		.keepalive_s = (int)options->broker_keepalive_s,
		.clean_start = false,
		// The broker goes on dealing messages to a member that is away: not for ever.
		.session_expiry_s = options->subscription_group ? (uint32_t)options->session_expiry_s : UINT32_MAX,
		.receive_maximum = MQTT_RECEIVE_MAXIMUM,
		.backoff_max_ms = MQTT_BACKOFF_SERVICE_MAX_MS,
		.silent_ms = (int)options->broker_silent_s * 1000,
	};
	presence_init(&ingest->presence, options->broker_client_id, options->cell, options->offline_grace_s * 1000);
	sight_init(&ingest->sight, options->broker_client_id, options->cell);
	ingest->clock_unknown = true;
	if (options->subscription_group && !topic_is_device_id(options->subscription_group))
		return error_set(error, ERROR_INVALID, "subscription.group \"%s\" is not of the form of a device id",
				 options->subscription_group);
	const struct limits limits = {options->messages_per_s, options->messages_burst, options->bytes_per_s,
				      options->bytes_burst};
	if (!excess_init(&ingest->excess, &limits, ingest->metrics, clock_mono_ms(), error))
		return false;
	if (!batch_init(&ingest->batch, (size_t)options->batch_max, error))
		return false;
	ingest->store = store_new(&store, error);
	if (!ingest->store)
		return false;
	ingest->mqtt = mqtt_new(&mqtt, &handlers, ingest, error);
	if (!ingest->mqtt)
		return false;
	ingest->answers = answers_new(ingest->mqtt, options->stored_interval_ms, error);
	ingest->receipts = receipts_new(send_receipts, ingest, error);
	if (!ingest->answers || !ingest->receipts || !start_housekeeping(ingest, error))
		return false;
	if (options->http_port == 0)
		return true;
	ingest->health = health_new(options, ingest->metrics, &ingest->facts, error);
	return ingest->health;
}

struct ingest *ingest_new(const struct options *options, int signal_fd, struct error *error)
{
	struct ingest *ingest cleanup(ingest_free_cleanup) = calloc(1, sizeof(*ingest));
	if (!ingest) {
		error_errno(error, ENOMEM, "cannot start");
		return NULL;
	}
	ingest->options = options;
	ingest->signal_fd = signal_fd;
	ingest->metrics = metrics_new();
	if (!ingest->metrics) {
		error_errno(error, ENOMEM, "cannot start");
		return NULL;
	}
	ingest->dropped = metrics_counter(ingest->metrics, "muster_ingest_dropped_total", NULL,
					  "QoS 0 messages dropped because the batch was full.");
	inlet_init(&ingest->inlet);
	part_state_init(&ingest->part, "ingest", options->broker_client_id, options->cell);
	return make_parts(ingest, error) ? steal(ingest) : NULL;
}

void ingest_free(struct ingest *ingest)
{
	if (!ingest)
		return;
	health_free(ingest->health);
	housekeeping_free(ingest->housekeeping);
	mqtt_free(ingest->mqtt);
	answers_free(ingest->answers);
	receipts_free(ingest->receipts);
	store_free(ingest->store);
	excess_done(&ingest->excess);
	batch_done(&ingest->batch);
	metrics_free(ingest->metrics);
	free(ingest);
}

static void on_committed(void *user, const struct summary *summary, const struct message *messages, size_t count)
{
	struct ingest *ingest = user;
	receipts_committed(ingest->receipts, messages, count);
	answers_committed(ingest->answers, summary, clock_mono_ms());
}

static void try_commit(struct ingest *ingest)
{
	struct error error = {0};
	keep_session(ingest);
	if (store_batch(ingest->store, &ingest->batch, on_committed, ingest, &error)) {
		log_fault_over(&ingest->database_fault, "database.commit");
		forget_batch(ingest);
		ingest->attempt = 0;
		return;
	}
	log_fault(&ingest->database_fault, "database.commit", &error);
	ingest->held = true;
	ingest->retry_ms = clock_mono_ms() + clock_backoff_ms(ingest->attempt, RETRY_BASE_MS, RETRY_MAX_MS);
	if (ingest->attempt < 30)
		ingest->attempt++;
}

static void read_batch(struct ingest *ingest)
{
	while (!batch_full(&ingest->batch)) {
		size_t room = ingest->batch.max - ingest->batch.count;
		size_t chunk = room < READ_CHUNK ? room : READ_CHUNK;
		if (mqtt_read(ingest->mqtt, chunk) < chunk)
			return;
	}
}

static void connect_store(struct ingest *ingest)
{
	struct error error = {0};
	if (store_connected(ingest->store))
		return;
	if (store_connect(ingest->store, &error))
		log_fault_over(&ingest->connect_fault, "database.connect");
	else
		log_fault(&ingest->connect_fault, "database.connect", &error);
}

static void watch_clock(struct ingest *ingest)
{
	int64_t offset_ms = clock_wall_ms() - clock_mono_ms();
	if (offset_ms < ingest->clock_offset_ms - CLOCK_JUMP_MS)
		ingest->clock_unknown = true;
	ingest->clock_offset_ms = offset_ms;
}

static void watch_silence(struct ingest *ingest)
{
	struct error error = {0};
	ingest->facts.silent = mqtt_silent(ingest->mqtt);
	if (ingest->facts.silent) {
		error_set(&error, ERROR_TIMEOUT, MQTT_SILENT_WHY);
		log_fault(&ingest->silence_fault, "broker.silent", &error);
	} else {
		log_fault_over(&ingest->silence_fault, "broker.silent");
	}
}

// Where the store is away nobody hears; the silence tells then.
static bool tell_part(struct ingest *ingest, int64_t now_ms, struct error *error)
{
	const char *why = NULL;
	if (!ingest->facts.broker)
		why = "no session with the broker: look whether it runs and lets svc.ingest in";
	else if (ingest->facts.silent)
		why = MQTT_SILENT_WHY;
	if (!store_connected(ingest->store) || !part_state_due(&ingest->part, !why, now_ms))
		return true;
	return store_tell_part(ingest->store, &ingest->part, why, error);
}

// What time alone brings about. all: everything that came was read and committed.
static void sweep(struct ingest *ingest, int64_t now_ms, bool all)
{
	struct error error = {0};
	size_t lost = 0;
	bool ok = !all || (store_sweep_presence(ingest->store, now_ms, &error) &&
			   store_tell_sight(ingest->store, &ingest->sight, now_ms, &error));
	ok = ok && store_tell_excess(ingest->store, now_ms, &error) && tell_part(ingest, now_ms, &error);
	if (ok && now_ms >= ingest->gaps_ms) {
		int64_t often_ms = ingest->options->gap_lost_after_s * 1000 / 4;
		watch_clock(ingest);
		if (ingest->clock_unknown)
			ingest->clock_unknown = !(ok = store_clock_jumped(ingest->store, &error));
		ok = ok && store_sweep_gaps(ingest->store, ingest->options->gap_lost_after_s, &lost, &error);
		if (often_ms > GAPS_EVERY_MS || !ok)
			often_ms = GAPS_EVERY_MS;
		ingest->gaps_ms = now_ms + (often_ms < GAPS_OFTEN_MS ? GAPS_OFTEN_MS : often_ms);
	}
	if (lost > 0)
		log_error("ledger.lost", "gaps", log_number((int64_t)lost));
	if (ok)
		log_fault_over(&ingest->sweep_fault, "database.sweep");
	else
		log_fault(&ingest->sweep_fault, "database.sweep", &error);
}

static int earlier(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int timeout_ms(const struct ingest *ingest)
{
	int64_t now_ms = clock_mono_ms();
	int timeout;
	if (ingest->held)
		timeout = ingest->retry_ms > now_ms ? (int)(ingest->retry_ms - now_ms) : 0;
	else if (mqtt_unsent(ingest->mqtt))
		timeout = UNSENT_MS;
	else
		timeout = earlier(earlier(mqtt_timeout_ms(ingest->mqtt), answers_timeout_ms(ingest->answers, now_ms)),
				  earlier(earlier(presence_timeout_ms(&ingest->presence, now_ms),
						  sight_timeout_ms(&ingest->sight, now_ms)),
					  earlier(ingest->gaps_ms > now_ms ? (int)(ingest->gaps_ms - now_ms) : 0,
						  ingest->part.next_ms > now_ms ?
							  (int)(ingest->part.next_ms - now_ms) :
							  PART_MS)));
	return ingest->health ? earlier(timeout, HEALTH_MS) : timeout;
}

enum { SIGNAL, BROKER, WATCHED };

// False when poll failed.
static bool wait_turn(struct ingest *ingest, bool *stop, bool *cut, struct error *error)
{
	int waiting = mqtt_unsent(ingest->mqtt) ? POLLOUT : mqtt_poll_events(ingest->mqtt);
	int events = ingest->held ? POLLRDHUP : waiting;
	struct pollfd watched[WATCHED] = {
		[SIGNAL] = {.fd = ingest->signal_fd, .events = POLLIN},
		[BROKER] = {.fd = mqtt_fd(ingest->mqtt), .events = (short)events},
	};
	if (poll(watched, WATCHED, timeout_ms(ingest)) < 0 && errno != EINTR)
		return error_errno(error, errno, "waiting");
	*stop = watched[SIGNAL].revents;
	*cut = watched[BROKER].revents & (POLLRDHUP | POLLHUP | POLLERR);
	return true;
}

static void turn(struct ingest *ingest, bool cut)
{
	if (ingest->held && cut)
		mqtt_cut(ingest->mqtt);
	if (ingest->held && clock_mono_ms() >= ingest->retry_ms)
		try_commit(ingest);
	if (ingest->held)
		return;
	// Mosquitto 2.0.11 does not count what it hands on from its queue against Receive Maximum, and it reads one
	// packet of ours for one of each device: without this, acknowledgements would pile up here.
	bool all = !mqtt_unsent(ingest->mqtt);
	if (all) {
		read_batch(ingest);
		all = !batch_full(&ingest->batch);
	}
	if (ingest->batch.count > 0)
		try_commit(ingest);
	if (ingest->held)
		return;
	watch_silence(ingest);
	sweep(ingest, clock_mono_ms(), all && !ingest->facts.silent); // who could not be heard is not silent
	answers_due(ingest->answers, clock_mono_ms());
	mqtt_write(ingest->mqtt);
	mqtt_tick(ingest->mqtt);
	connect_store(ingest);
}

bool ingest_run(struct ingest *ingest, struct error *error)
{
	for (;;) {
		bool stop = false;
		bool cut = false;
		ingest->facts.broker = mqtt_connected(ingest->mqtt) && ingest->subscribing == 0;
		ingest->facts.database = store_connected(ingest->store);
		ingest->facts.waiting = ingest->held;
		if (!wait_turn(ingest, &stop, &cut, error))
			return false;
		if (stop)
			break;
		turn(ingest, cut);
		if (!ingest->health)
			continue;
		housekeeping_report(ingest->housekeeping);
		if (!health_serve(ingest->health, error))
			return false;
	}
	if (ingest->batch.count > 0) // a farewell would carry the acknowledgements with it
		mqtt_cut(ingest->mqtt);
	else
		mqtt_disconnect(ingest->mqtt, DISCONNECT_MS);
	return true;
}
