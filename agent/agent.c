#include "agent/agent.h"

#include "agent/action.h"
#include "agent/collect.h"
#include "agent/contact.h"
#include "agent/crash.h"
#include "agent/executor.h"
#include "agent/fetch.h"
#include "agent/identity.h"
#include "agent/inventory.h"
#include "agent/lock.h"
#include "agent/memory.h"
#include "agent/names.h"
#include "agent/outbox.h"
#include "agent/platform.h"
#include "agent/push.h"
#include "agent/renew.h"
#include "agent/system.h"
#include "agent/uplink.h"
#include "agent/wake_socket.h"
#include "agent/watch.h"
#include "common/clock.h"
#include "common/device_status.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/mqtt.h"
#include "common/tls.h"
#include "common/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define INVENTORY_EVERY_MS 10000 // at most; it is read with a heartbeat
#define READ_BATCH 64
#define GOODBYE_MS 1000          // for the last status message and DISCONNECT
#define SESSIONS_RESERVED 1000   // taken at a time, so that a connection costs no write
#define AGE_TOLD_MS 1000         // a younger message is as good as new
#define RECEIVE_MAXIMUM 20       // commands come one at a time
#define NO_MATCHING_SUBSCRIBERS 0x10 // MQTT 5 section 3.4.2.1: in no queue, so lost

struct agent {
	const struct agent_options *options;
	struct crash crash;
	int lock_fd;
	struct identity identity;
	struct tls *tls;
	struct outbox *outbox;
	struct mqtt *mqtt;
	struct uplink uplink;
	struct executor executor;
	struct uplink_facts facts;
	struct renew renew;
	struct fetch fetch;
	const char *root; // of the machine's files, see system.h
	struct platform platform;
	struct collect collect;
	struct watch watch;
	struct contact contact;
	struct wake_socket wake;
	char *push_token;
	char boot_id[64];
	char fingerprint[SHA256_HEX_BYTES];
	char telemetry_topic[TOPIC_MAX_BYTES], event_topic[TOPIC_MAX_BYTES];

	int64_t heartbeat_ms; // when the next is due
	int64_t inventory_ms;
	int64_t session;          // number of the connection, or of the try to make one
	int64_t session_reserved; // the highest that may be given without a write
	bool settle; // a connection was made since the last heartbeat
	bool first_told; // of the readings of this run, for "muster-agent check"

	struct log_fault renew_fault, broker_fault, outbox_fault, send_fault, stored_fault, refused_fault, counter_fault;
};

// ---- what is reported ----

static void outbox_result(struct agent *agent, bool ok, const struct error *error)
{
	if (ok)
		log_fault_over(&agent->outbox_fault, "outbox.write");
	else
		log_fault(&agent->outbox_fault, "outbox.write", error);
}

static bool push_event(struct agent *agent, const char *type, const char *member, const char *value)
{
	struct error error = {0};
	struct json *body auto_json = json_new_object();
	json_set_string(body, "type", type);
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, member, value);
	bool ok = outbox_push(agent->outbox, agent->event_topic, body, NULL, &error);
	outbox_result(agent, ok, &error);
	return ok;
}

static void tell_about_app(void *user, const char *type, const char *app, long tries, const char *reason)
{
	struct agent *agent = user;
	struct error error = {0};
	struct json *body auto_json = json_new_object();
	json_set_string(body, "type", type);
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, "app", app);
	if (tries > 0)
		json_set_int(body, "tries", tries);
	if (reason)
		json_set_string(body, "reason", reason);
	outbox_result(agent, outbox_push(agent->outbox, agent->event_topic, body, NULL, &error), &error);
	log_write(LOG_WARN, type, "app", app, "reason", reason, (const char *)NULL);
}

static void report_boot(struct agent *agent)
{
	char *known auto_free = outbox_get(agent->outbox, "boot_id");
	struct error error = {0};
	if (!*agent->boot_id || (known && strcmp(known, agent->boot_id) == 0))
		return;
	if (!push_event(agent, "boot", "boot_id", agent->boot_id))
		return;
	// If this fails, the same boot is reported once more.
	outbox_result(agent, outbox_set(agent->outbox, "boot_id", agent->boot_id, &error), &error);
}

// 0.9 to 1.1 of the interval: devices that were started together must not report together for ever.
static int64_t jittered_ms(int64_t interval_s)
{
	uint16_t random;
	crypto_random(&random, sizeof(random));
	return interval_s * 900 + interval_s * 200 * random / UINT16_MAX;
}

static void heartbeat(struct agent *agent, int64_t now_ms)
{
	struct error error = {0};
	struct json *reading auto_json = collect_reading(&agent->collect, clock_wall_ms());
	json_set_int(reading, "outbox_dropped", outbox_dropped(agent->outbox));
	int64_t seq = 0;
	bool ok = outbox_push(agent->outbox, agent->telemetry_topic, reading, &seq, &error);
	if (ok && !agent->first_told)
		ok = agent->first_told = outbox_set_int(agent->outbox, OUTBOX_READING, seq, &error);
	outbox_result(agent, ok, &error);
	uplink_latest(&agent->uplink, reading);

	if (now_ms >= agent->inventory_ms) {
		agent->inventory_ms = now_ms + INVENTORY_EVERY_MS;
		ok = inventory_report(&agent->platform, agent->outbox, agent->identity.device, clock_wall_ms(),
				      &error);
		outbox_result(agent, ok, &error);
	}
	agent->heartbeat_ms = now_ms + jittered_ms(agent->facts.interval_s);
	if (agent->settle)
		memory_settle();
	agent->settle = false;
}

static void on_interval_changed(void *user, int64_t seconds)
{
	struct agent *agent = user;
	agent->facts.interval_s = seconds;
	agent->heartbeat_ms = clock_mono_ms() + jittered_ms(seconds);
	uplink_hello(&agent->uplink);
	log_info("interval.changed", "interval_s", log_number(seconds));
}

static void on_settings_changed(void *user, const struct json *settings)
{
	struct agent *agent = user;
	int64_t replay_per_s;
	const char *text;
	enum log_level level;
	if (json_member_int(settings, "outbox.replay_per_s", &replay_per_s))
		agent->uplink.replay_per_s = replay_per_s;
	if (json_member_string(settings, "log_level", &text) && log_level_parse(text, &level))
		log_init("muster-agent", level);
	log_info("settings.changed");
}

static void on_signers_changed(void *user)
{
	struct agent *agent = user;
	char version[24];
	(void)snprintf(version, sizeof(version), "%" PRId64, agent->identity.signers);
	agent->facts.signers = agent->identity.signers;
	uplink_hello(&agent->uplink);
	log_info("signers.changed", "version", version, "keys", log_number((int64_t)agent->identity.command_key_count));
	(void)push_event(agent, "signers.changed", "version", version);
}

// By the key of the connection: it is in memory there anyway, and its certificate is known to the server.
static bool sign_result(void *user, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
			struct error *error)
{
	struct agent *agent = user;
	return tls_sign(agent->tls, data, len_bytes, out, error);
}

// ---- the session ----

static bool publish_outbox(void *user, const char *topic, const void *payload, size_t payload_bytes, int64_t age_ms,
			   struct error *error)
{
	struct agent *agent = user;
	char age[24];
	(void)snprintf(age, sizeof(age), "%" PRId64, age_ms);
	const struct mqtt_property property = {"age-ms", age};
	struct mqtt_publish publish = {
		.topic = topic,
		.payload = payload,
		.payload_bytes = payload_bytes,
		.qos = 1,
		.properties = &property,
		.property_count = age_ms >= AGE_TOLD_MS ? 1 : 0,
	};
	return mqtt_publish(agent->mqtt, &publish, NULL, error);
}

static void publish_status(struct agent *agent, const char *text, const char *why)
{
	struct error error = {0};
	struct device_status status;
	if (!device_status_make(agent->identity.device, agent->session, text, why, &status))
		return; // no device id: start refuses it
	if (mqtt_publish(agent->mqtt, &status.publish, NULL, &error))
		agent->uplink.unacknowledged++; // its PUBACK can't be told from the others
	else
		log_fault(&agent->send_fault, "uplink.send", &error);
}

// Rises with every try to connect, for one that seems to fail may have got through.
static bool next_session(struct agent *agent, struct error *error)
{
	struct device_status will;
	if (++agent->session > agent->session_reserved) {
		agent->session_reserved = agent->session + SESSIONS_RESERVED;
		struct error fault = {0};
		// If it can't be written, the numbers still rise while this program runs.
		outbox_result(agent, outbox_set_int(agent->outbox, "session", agent->session_reserved, &fault), &fault);
	}
	return device_status_make(agent->identity.device, agent->session, "offline", "will", &will) &&
	       mqtt_set_will(agent->mqtt, &will.publish, error);
}

static void on_connect(void *user, bool session_present)
{
	static const enum topic_kind down[] = {TOPIC_COMMAND, TOPIC_STORED, TOPIC_CONFIG, TOPIC_CERTIFICATE};
	struct agent *agent = user;
	struct error error = {0};
	log_fault_over(&agent->broker_fault, "broker.connection");
	log_info("broker.connected", "device", agent->identity.device, "session", session_present ? "kept" : "new");
	daemon_status("connected to the broker");
	for (size_t i = 0; i < sizeof(down) / sizeof(down[0]); i++) {
		char filter[TOPIC_MAX_BYTES];
		if (!topic_build(filter, down[i], agent->identity.device, NULL) ||
		    !mqtt_subscribe(agent->mqtt, filter, down[i] == TOPIC_STORED ? 0 : 1, &error))
			log_fault(&agent->send_fault, "uplink.send", &error);
	}
	agent->settle = true;
	contact_busy(&agent->contact, clock_mono_ms());
	renew_connected(&agent->renew, clock_mono_ms());
	uplink_connected(&agent->uplink);
	publish_status(agent, "online", NULL);
}

static void on_disconnect(void *user, const struct error *error)
{
	struct agent *agent = user;
	struct error fault = {0};
	uplink_disconnected(&agent->uplink);
	log_fault(&agent->broker_fault, "broker.connection", error);
	renew_disconnected(&agent->renew, error);
	if (!next_session(agent, &fault))
		log_fault(&agent->send_fault, "uplink.send", &fault);
	daemon_status("not connected to the broker");
}

static void on_stored(struct agent *agent, const char *payload, size_t payload_bytes)
{
	static const char reason[] = "an older copy of the outbox was put back; what waited in it has new numbers";
	struct error error = {0};
	char epoch[EPOCH_MAX + 1];
	(void)snprintf(epoch, sizeof(epoch), "%s", outbox_epoch(agent->outbox));
	if (uplink_stored(&agent->uplink, payload, payload_bytes, clock_mono_ms(), &error))
		log_fault_over(&agent->stored_fault, "outbox.stored");
	else
		log_fault(&agent->stored_fault, "outbox.stored", &error);
	if (strcmp(epoch, outbox_epoch(agent->outbox)) != 0) {
		log_error("outbox.reset", "cause", reason, "epoch", outbox_epoch(agent->outbox));
		agent->first_told = false;
		(void)push_event(agent, "outbox.reset", "reason", reason);
	}
}

// ---- the certificate ----

static void renew_result(struct agent *agent, bool ok, const struct error *error)
{
	if (ok)
		log_fault_over(&agent->renew_fault, "certificate.renewal");
	else
		log_fault(&agent->renew_fault, "certificate.renewal", error);
}

static bool ask_for_certificate(void *user, const char *text, struct error *error)
{
	struct agent *agent = user;
	char topic[TOPIC_MAX_BYTES];
	const struct mqtt_publish publish = {.topic = topic, .payload = text, .payload_bytes = strlen(text), .qos = 1};
	if (!topic_build(topic, TOPIC_CSR, agent->identity.device, NULL))
		return error_set(error, ERROR_INVALID, "%s is no device id", agent->identity.device);
	if (!mqtt_publish(agent->mqtt, &publish, NULL, error))
		return false;
	agent->uplink.unacknowledged++; // its PUBACK can't be told from the others
	return true;
}

static bool ask_bridge(void *user, const struct credential *present, const char *csr, struct error *error)
{
	struct agent *agent = user;
	const struct fetch_request request = {agent->options->bridge_url, present, csr, agent->fingerprint};
	return fetch_start(&agent->fetch, &request, clock_mono_ms(), error);
}

static void poll_bridge(struct agent *agent)
{
	struct error error = {0};
	char *answer auto_free = NULL;
	int64_t now_ms = clock_mono_ms();
	if (!fetch_poll(&agent->fetch, now_ms, &answer, &error))
		renew_result(agent, false, &error);
	else if (answer)
		renew_result(agent, renew_answer(&agent->renew, true, answer, strlen(answer), now_ms, &error), &error);
}

static bool use_credential(void *user, const struct credential *credential, struct error *error)
{
	struct agent *agent = user;
	struct tls_credential tls = credential_for_tls(credential);
	return tls_set(agent->tls, &tls, error);
}

static void reconnect(void *user)
{
	struct agent *agent = user;
	mqtt_cut(agent->mqtt);
}

static void tell_about_certificate(void *user, const char *type, const char *reason)
{
	struct agent *agent = user;
	bool good = strcmp(type, "certificate.renewed") == 0 || strcmp(type, "trust.changed") == 0;
	log_write(good ? LOG_INFO : LOG_ERROR, type, good ? "certificate" : "reason", reason, (const char *)NULL);
	(void)push_event(agent, type, good ? "certificate" : "reason", reason);
}

static void on_message(void *user, const struct mqtt_message *message)
{
	struct agent *agent = user;
	struct error error = {0};
	struct topic topic;
	if (!topic_parse(message->topic, strlen(message->topic), &topic) ||
	    strcmp(topic.principal, agent->identity.device) != 0)
		return;
	const char *payload = message->payload ? message->payload : "";
	switch (topic.kind) {
	case TOPIC_STORED:
		on_stored(agent, payload, message->payload_bytes);
		break;
	case TOPIC_COMMAND:
		contact_busy(&agent->contact, clock_mono_ms());
		outbox_result(agent, executor_command(&agent->executor, payload, message->payload_bytes, &error),
			      &error);
		break;
	case TOPIC_CERTIFICATE:
		renew_result(agent, renew_answer(&agent->renew, false, payload, message->payload_bytes, clock_mono_ms(),
						 &error),
			     &error);
		break;
	default: // config is reserved
		break;
	}
}

static void on_puback(void *user, int mid, int reason_code)
{
	struct agent *agent = user;
	struct error error = {0};
	uplink_acknowledged(&agent->uplink);
	if (reason_code == NO_MATCHING_SUBSCRIBERS)
		uplink_undelivered(&agent->uplink, clock_mono_ms());
	if (reason_code >= 0x80) {
		(void)error_set(&error, ERROR_DENIED, "the broker refused a message with reason code 0x%02x",
				reason_code);
		log_fault(&agent->refused_fault, "uplink.refused", &error);
	} else {
		log_fault_over(&agent->refused_fault, "uplink.refused");
	}
	if (agent->uplink.published > 0)
		crash_here(&agent->crash, CRASH_PUBACK);
}

static void on_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	struct agent *agent = user;
	for (size_t i = 0; i < count; i++) {
		struct error error = {0};
		if (reason_codes[i] < 0x80)
			continue;
		(void)error_set(&error, ERROR_DENIED, "the broker refused a subscription with reason code 0x%02x",
				reason_codes[i]);
		log_fault(&agent->refused_fault, "uplink.refused", &error);
	}
}

// ---- the loop ----

static int timeout_ms(const struct agent *agent)
{
	int64_t now_ms = clock_mono_ms();
	int64_t wait_ms = agent->heartbeat_ms - now_ms;
	int64_t deadline_ms = uplink_deadline_ms(&agent->uplink);
	int64_t mqtt_ms = mqtt_timeout_ms(agent->mqtt);
	int64_t child_ms = executor_timeout_ms(&agent->executor);
	int64_t watch_ms = watch_timeout_ms(&agent->watch, now_ms);
	if (deadline_ms != INT64_MAX && deadline_ms - now_ms < wait_ms)
		wait_ms = deadline_ms - now_ms;
	if (mqtt_ms >= 0 && mqtt_ms < wait_ms)
		wait_ms = mqtt_ms;
	if (child_ms >= 0 && child_ms < wait_ms)
		wait_ms = child_ms;
	if (watch_ms >= 0 && watch_ms < wait_ms)
		wait_ms = watch_ms;
	int64_t wake_ms = wake_socket_timeout_ms(&agent->wake, now_ms);
	if (wake_ms >= 0 && wake_ms < wait_ms)
		wait_ms = wake_ms;
	if (contact_deadline_ms(&agent->contact) - now_ms < wait_ms)
		wait_ms = contact_deadline_ms(&agent->contact) - now_ms;
	int64_t platform_ms = platform_timeout_ms(&agent->platform, now_ms);
	if (platform_ms >= 0 && (platform_ms < wait_ms || !platform_ready(&agent->platform)))
		wait_ms = platform_ms;
	if (wait_ms < 0)
		return 0;
	return wait_ms > 60000 ? 60000 : (int)wait_ms;
}

static void send_waiting(struct agent *agent)
{
	struct error error = {0};
	uint64_t published = agent->uplink.published;
	if (uplink_pump(&agent->uplink, clock_mono_ms(), clock_wall_ms(), &error))
		log_fault_over(&agent->send_fault, "uplink.send");
	else
		log_fault(&agent->send_fault, "uplink.send", &error);
	mqtt_write(agent->mqtt);
	if (agent->uplink.published > published)
		crash_here(&agent->crash, CRASH_PUBLISH);
}

// False when even a new outbox could not be made.
static bool replace_damaged(struct agent *agent, struct error *error)
{
	if (!outbox_damaged(agent->outbox))
		return true;
	if (!outbox_reset(agent->outbox, error))
		return error_prefix(error, "the outbox is damaged, and a new one can't be made");
	log_error("outbox.reset", "cause", "damaged while in use", "epoch", outbox_epoch(agent->outbox));
	agent->first_told = false;
	(void)push_event(agent, "outbox.reset", "reason", "damaged while in use");
	agent->executor.counter_unsaved = true;
	return outbox_set_int(agent->outbox, "counter", agent->executor.counter_high, error) &&
	       outbox_set_int(agent->outbox, "server_time", agent->executor.server_time_s, error) &&
	       outbox_set_int(agent->outbox, "session", agent->session_reserved, error) &&
	       outbox_set_int(agent->outbox, "interval_s", agent->facts.interval_s, error);
}

// ---- waking and sleeping ----

static void on_wake(void *user)
{
	struct agent *agent = user;
	contact_wake(&agent->contact, clock_mono_ms());
}

static bool on_push_token(void *user, const char *token, struct error *error)
{
	struct agent *agent = user;
	char *copy auto_free = strdup(token);
	if (!copy)
		return error_errno(error, ENOMEM, "cannot keep the push token");
	if (!push_token_store(agent->identity.state_dir, token, error))
		return false;
	free(agent->push_token);
	agent->push_token = steal(copy);
	agent->facts.push_token = agent->push_token;
	uplink_hello(&agent->uplink);
	contact_wake(&agent->contact, clock_mono_ms()); // so that it is told
	log_info("push_token.changed", "set", *token ? "yes" : "no");
	return true;
}

static void wake_up(struct agent *agent, int64_t now_ms)
{
	wake_socket_poll(&agent->wake, now_ms);
	if (!contact_woken(&agent->contact, now_ms))
		return;
	log_info("agent.woken", "connected", mqtt_connected(agent->mqtt) ? "yes" : "no");
	if (mqtt_connected(agent->mqtt))
		agent->heartbeat_ms = now_ms; // also finds out whether the connection still holds
	else
		mqtt_connect_now(agent->mqtt);
}

// Waits for the PUBACKs too: closing a socket with unread bytes in it resets the connection (RFC 1122, 4.2.2.13), and
// the broker might never see DISCONNECT.
static void say_goodbye(struct agent *agent, const char *why)
{
	int64_t deadline_ms = clock_mono_ms() + GOODBYE_MS;
	if (mqtt_connected(agent->mqtt))
		publish_status(agent, "offline", why); // a proper DISCONNECT makes the broker drop the will
	while (mqtt_connected(agent->mqtt) && agent->uplink.unacknowledged > 0 && clock_mono_ms() < deadline_ms) {
		struct pollfd watch = {.fd = mqtt_fd(agent->mqtt)};
		mqtt_write(agent->mqtt);
		watch.events = (short)mqtt_poll_events(agent->mqtt);
		if (poll(&watch, 1, GOODBYE_MS / 10) < 0 && errno != EINTR)
			break;
		(void)mqtt_read(agent->mqtt, READ_BATCH);
	}
	mqtt_disconnect(agent->mqtt, GOODBYE_MS);
}

static void fall_asleep(struct agent *agent)
{
	bool connected = mqtt_connected(agent->mqtt);
	bool idle = outbox_rows(agent->outbox) == 0 && agent->uplink.unacknowledged == 0 && !agent->uplink.hello_due &&
		    executor_timeout_ms(&agent->executor) < 0;
	struct error fault = {0};
	if (!contact_sleep(&agent->contact, connected, idle, clock_mono_ms()))
		return;
	say_goodbye(agent, "sleep");
	uplink_disconnected(&agent->uplink);
	if (!next_session(agent, &fault))
		log_fault(&agent->send_fault, "uplink.send", &fault);
	log_info("agent.sleeps", "connected", connected ? "yes" : "no");
	daemon_status("asleep until the next heartbeat");
}

static bool turn(struct agent *agent, int signal_fd, bool *stop, struct error *error)
{
	struct error fault = {0};
	struct pollfd watches[] = {
		{.fd = signal_fd, .events = POLLIN},
		{.fd = mqtt_fd(agent->mqtt), .events = (short)mqtt_poll_events(agent->mqtt)},
		{.fd = executor_fd(&agent->executor), .events = POLLIN},
		{.fd = agent->fetch.fd, .events = POLLIN},
		{.fd = platform_fd(&agent->platform), .events = POLLIN},
		{.fd = watch_fd(&agent->watch), .events = POLLIN},
		{.fd = wake_socket_fd(&agent->wake), .events = POLLIN},
	};
	if (poll(watches, sizeof(watches) / sizeof(watches[0]), timeout_ms(agent)) < 0 && errno != EINTR)
		return error_errno(error, errno, "cannot wait for events");
	*stop = watches[0].revents != 0 || executor_may_leave(&agent->executor);

	if (!mqtt_connected(agent->mqtt))
		memory_settle(); // a handshake needs the most: let no two steps of it add up
	(void)mqtt_read(agent->mqtt, READ_BATCH);
	if (!executor_poll(&agent->executor, &fault))
		outbox_result(agent, false, &fault);
	int64_t now_ms = clock_mono_ms();
	platform_poll(&agent->platform, now_ms);
	watch_poll(&agent->watch, now_ms);
	wake_up(agent, now_ms);
	if (now_ms >= agent->heartbeat_ms && platform_ready(&agent->platform)) {
		heartbeat(agent, now_ms);
		if (contact_heartbeat(&agent->contact, now_ms))
			mqtt_connect_now(agent->mqtt);
	}
	send_waiting(agent);
	poll_bridge(agent);
	renew_result(agent, renew_tick(&agent->renew, mqtt_connected(agent->mqtt), clock_mono_ms(), clock_wall_ms(),
				       &fault),
		     &fault);
	mqtt_tick(agent->mqtt);
	// After the answer has left.
	if (executor_save_counter(&agent->executor, &fault))
		log_fault_over(&agent->counter_fault, "counter.write");
	else
		log_fault(&agent->counter_fault, "counter.write", &fault);
	fall_asleep(agent);
	return replace_damaged(agent, error);
}

// ---- making it ----

static bool read_facts(struct agent *agent, struct error *error)
{
	agent->facts = (struct uplink_facts){
		.interval_s = outbox_get_int(agent->outbox, "interval_s", agent->options->interval_s),
		.boot_id = agent->boot_id,
		.fingerprint = agent->fingerprint,
		.certificate = agent->renew.info.serial,
		.not_after = agent->renew.not_after,
		.trust = agent->renew.trust,
		.actions = agent->options->actions,
		.signers = agent->identity.signers,
	};
	const char *device = agent->identity.device;
	return (topic_build(agent->telemetry_topic, TOPIC_TELEMETRY, device, NULL) &&
		topic_build(agent->event_topic, TOPIC_EVENT, device, NULL)) ||
	       error_set(error, ERROR_INVALID, "%s is no device id", device);
}

static bool open_outbox(struct agent *agent, struct error *reset, struct error *error)
{
	char *boot_id auto_free = system_read(agent->root, "/proc/sys/kernel/random/boot_id");
	(void)snprintf(agent->boot_id, sizeof(agent->boot_id), "%s", boot_id ? boot_id : "");
	struct outbox_options options = {
		.path = agent->identity.outbox_file,
		.boot_id = *agent->boot_id ? agent->boot_id : NULL,
		.rows_max = agent->options->outbox_rows_max,
		.bytes_max = agent->options->outbox_bytes_max,
		.crash = &agent->crash,
	};
	agent->outbox = outbox_open(&options, reset, error);
	return agent->outbox != NULL;
}

static bool open_credential(struct agent *agent, const char *host, struct error *error)
{
	struct credential_store store = identity_store(&agent->identity);
	struct credential credential auto_credential = {0};
	const struct renew_port port = {
		.ask = ask_for_certificate,
		.ask_https = agent->options->bridge_url ? ask_bridge : NULL,
		.use = use_credential,
		.reconnect = reconnect,
		.tell = tell_about_certificate,
		.user = agent,
	};
	bool hidden = false;
	if (!renew_init(&agent->renew, &store, agent->identity.device, &port, &agent->crash, &credential, error)) {
		if (error && error->kind == ERROR_DENIED)
			identity_is_copy(&agent->identity, error); // then it knows better
		return false;
	}
	if (!identity_fingerprint(&agent->identity, credential.parts, agent->fingerprint, &hidden))
		agent->fingerprint[0] = '\0'; // nothing to tell the machine by
	agent->renew.fingerprint = agent->fingerprint;
	agent->renew.https_after_ms = agent->options->renew_https_after_s * 1000;
	struct tls_credential tls = credential_for_tls(&credential);
	agent->tls = tls_new(host, &tls, error); // keeps the key; our own copy is wiped
	return agent->tls != NULL;
}

static bool start_session(struct agent *agent, struct error *error)
{
	const struct agent_options *options = agent->options;
	static const struct mqtt_handlers handlers = {
		.on_connect = on_connect,
		.on_disconnect = on_disconnect,
		.on_message = on_message,
		.on_puback = on_puback,
		.on_suback = on_suback,
	};
	struct mqtt_options mqtt = {
		.host = options->broker_host ? options->broker_host : agent->identity.broker_host,
		.port = options->broker_port ? (int)options->broker_port : agent->identity.broker_port,
		.client_id = agent->identity.device,
		.keepalive_s = MQTT_KEEPALIVE_S,
		.clean_start = false,
		.session_expiry_s = UINT32_MAX,
		.receive_maximum = RECEIVE_MAXIMUM,
	};
	struct uplink_port port = {publish_outbox, agent};
	if (!open_credential(agent, mqtt.host, error))
		return false;
	mqtt.tls = agent->tls;
	// A new outbox begins where no earlier one of this device has come to.
	agent->session = outbox_get_int(agent->outbox, "session", clock_wall_ms());
	agent->session_reserved = agent->session;
	if (!names_init(agent->root, mqtt.host, options->broker_addresses, error))
		return false;
	agent->mqtt = mqtt_new(&mqtt, &handlers, agent, error);
	if (!agent->mqtt || !next_session(agent, error) ||
	    !uplink_init(&agent->uplink, agent->outbox, agent->identity.device, &port, &agent->facts, &agent->crash,
			 error))
		return false;
	agent->uplink.replay_per_s = options->replay_per_s;
	return true;
}

static bool start_executor(struct agent *agent, struct error *error)
{
	struct executor_options options = {
		.outbox = agent->outbox,
		.identity = &agent->identity,
		.root = agent->root,
		.boot_id = agent->boot_id,
		.config = agent->options,
		.crash = &agent->crash,
		.interval_changed = on_interval_changed,
		.settings_changed = on_settings_changed,
		.signers_changed = on_signers_changed,
		.sign = sign_result,
		.user = agent,
	};
	return executor_init(&agent->executor, &options, error);
}

static bool start_watch(struct agent *agent, struct error *error)
{
	const struct watch_port port = {tell_about_app, agent};
	const struct plan place = {
		.root = agent->root,
		.android = agent->platform.android,
		.device = agent->identity.device,
		.options = agent->options,
	};
	return watch_init(&agent->watch, &place, agent->outbox, &port, error);
}

// Without it the device is still reached at its heartbeats: no reason not to run.
static void open_wake_socket(struct agent *agent)
{
	const struct agent_options *options = agent->options;
	char *path auto_free = NULL;
	struct error error = {0};
	if (!options->wake_socket && asprintf(&path, "%s/wake.sock", agent->identity.state_dir) < 0)
		path = NULL;
	const char *at = options->wake_socket ? options->wake_socket : path;
	if (!at || !wake_socket_open(&agent->wake, at, options->wake_group ? 0660 : 0600, &error))
		log_error("wake.socket", "error", error.what);
}

static bool read_mode(struct agent *agent, struct error *error)
{
	const char *mode = agent->options->connection_mode;
	bool on_demand = strcmp(mode, "on_demand") == 0;
	if (!on_demand && strcmp(mode, "persistent") != 0)
		return error_set(error, ERROR_INVALID, "connection.mode \"%s\" is none: use persistent or on_demand", mode);
	contact_init(&agent->contact, on_demand, agent->options->stay_s, clock_mono_ms());
	agent->facts.mode = on_demand ? mode : NULL;
	agent->push_token = push_token_load(agent->identity.state_dir);
	agent->facts.push_token = agent->push_token;
	return true;
}

static bool start(struct agent *agent, const char *crash_at, struct error *error)
{
	struct error reset = {0};
	if (!crash_init(&agent->crash, crash_at, error) || !agent_action_check_list(agent->options->actions, error))
		return false;
	identity_init(&agent->identity, agent->options->state_dir, agent->options->root);
	if (!identity_exists(&agent->identity))
		return error_set(error, ERROR_NOT_FOUND,
				 "this device is not enrolled (there is no %s): run \"muster-agent "
				 "enroll\" with a token first",
				 agent->identity.identity_file);
	agent->lock_fd = lock_take(agent->identity.state_dir, error);
	if (agent->lock_fd < 0 || !identity_load(&agent->identity, error) || !open_outbox(agent, &reset, error) ||
	    !read_facts(agent, error) || !read_mode(agent, error))
		return false;
	if (reset.kind != ERROR_NONE) {
		log_error("outbox.reset", "cause", reset.what, "epoch", outbox_epoch(agent->outbox));
		(void)push_event(agent, "outbox.reset", "reason", reset.what);
	}
	platform_init(&agent->platform, agent->root);
	collect_init(&agent->collect, agent->root, &agent->platform);
	report_boot(agent);
	open_wake_socket(agent);
	memory_settle(); // opening the outbox and setting up TLS need the most: let them not add up
	return start_session(agent, error) && start_executor(agent, error) && start_watch(agent, error);
}

static void stop(struct agent *agent)
{
	daemon_stopping();
	say_goodbye(agent, "goodbye");
	log_info("agent.stopped", "device", agent->identity.device);
}

static void agent_done(struct agent *agent)
{
	watch_done(&agent->watch);
	wake_socket_done(&agent->wake);
	free(agent->push_token);
	executor_done(&agent->executor);
	platform_done(&agent->platform);
	mqtt_free(agent->mqtt);
	fetch_done(&agent->fetch);
	renew_done(&agent->renew);
	tls_free(agent->tls);
	uplink_done(&agent->uplink);
	outbox_free(agent->outbox);
	identity_done(&agent->identity);
	close_cleanup(&agent->lock_fd);
}

bool agent_run(const struct agent_options *options, const char *crash_at, bool *leave, struct error *error)
{
	struct agent agent cleanup(agent_done) = {
		.options = options,
		.lock_fd = -1,
		.root = options->root ? options->root : "",
		.executor = {.tasks = {.epoll_fd = -1}},
		.platform = {.fd = -1},
		.watch = {.job = JOB_NONE},
	};
	const struct wake_handlers handlers = {on_wake, on_push_token, &agent};
	auto_close int signal_fd = daemon_signal_fd(error);
	wake_socket_init(&agent.wake, &handlers);
	fetch_init(&agent.fetch);
	if (signal_fd < 0 || !start(&agent, crash_at, error))
		return false;
	log_info("agent.started", "device", agent.identity.device, "version", MUSTER_VERSION, "epoch",
		 outbox_epoch(agent.outbox), "waiting", log_number(outbox_rows(agent.outbox)));
	daemon_ready();

	bool stopping = false;
	while (!stopping) {
		if (!turn(&agent, signal_fd, &stopping, error))
			return false;
	}
	*leave = executor_may_leave(&agent.executor);
	stop(&agent);
	return true;
}
