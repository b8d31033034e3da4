#include "agent/agent_internal.h"

#include "agent/names.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/device_status.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define GOODBYE_MS 1000		     // for the last status message and DISCONNECT
#define SESSIONS_RESERVED 1000	     // taken at a time, so that a connection costs no write
#define AGE_TOLD_MS 1000	     // a younger message is as good as new
#define RECEIVE_MAXIMUM 20	     // commands come one at a time
#define NO_MATCHING_SUBSCRIBERS 0x10 // MQTT 5 section 3.4.2.1: in no queue, so lost

// ---- to the broker ----

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

bool session_next(struct agent *agent, struct error *error)
{
	struct device_status will;
	if (++agent->session > agent->session_reserved) {
		agent->session_reserved = agent->session + SESSIONS_RESERVED;
		struct error fault = {0};
		// If it can't be written, the numbers still rise while this program runs.
		agent_outbox_result(agent, outbox_set_int(agent->outbox, "session", agent->session_reserved, &fault),
				    &fault);
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
	if (!session_next(agent, &fault))
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
		(void)agent_push_event(agent, "outbox.reset", "reason", reason);
	}
}

// ---- the certificate ----

void session_renewal_result(struct agent *agent, bool ok, const struct error *error)
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

void session_poll_bridge(struct agent *agent)
{
	struct error error = {0};
	char *answer auto_free = NULL;
	int64_t now_ms = clock_mono_ms();
	if (!fetch_poll(&agent->fetch, now_ms, &answer, &error))
		session_renewal_result(agent, false, &error);
	else if (answer)
		session_renewal_result(agent, renew_answer(&agent->renew, true, answer, strlen(answer), now_ms, &error),
				       &error);
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
	(void)agent_push_event(agent, type, good ? "certificate" : "reason", reason);
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
		agent_outbox_result(agent, executor_command(&agent->executor, payload, message->payload_bytes, &error),
			      &error);
		break;
	case TOPIC_CERTIFICATE:
		session_renewal_result(
			agent,
			renew_answer(&agent->renew, false, payload, message->payload_bytes, clock_mono_ms(), &error),
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

// ---- beginning and end ----

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

bool session_start(struct agent *agent, struct error *error)
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
	if (!agent->mqtt || !session_next(agent, error) ||
	    !uplink_init(&agent->uplink, agent->outbox, agent->identity.device, &port, &agent->facts, &agent->crash,
			 error))
		return false;
	agent->uplink.replay_per_s = options->replay_per_s;
	return true;
}

// Waits for the PUBACKs too: closing a socket with unread bytes in it resets the connection (RFC 1122, 4.2.2.13), and
// the broker might never see DISCONNECT.
void session_end(struct agent *agent, const char *why)
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
		(void)mqtt_read(agent->mqtt, AGENT_READ_MAX);
	}
	mqtt_disconnect(agent->mqtt, GOODBYE_MS);
}
