// The running agent, shared by agent.c (its start and its loop), session.c (the broker's side) and report.c (what it
// puts into the outbox). Nobody else includes this.
#pragma once

#include "agent/agent.h"
#include "agent/collect.h"
#include "agent/contact.h"
#include "agent/crash.h"
#include "agent/executor.h"
#include "agent/fetch.h"
#include "agent/identity.h"
#include "agent/outbox.h"
#include "agent/platform.h"
#include "agent/renew.h"
#include "agent/uplink.h"
#include "agent/wake_socket.h"
#include "agent/watch.h"
#include "common/log.h"
#include "common/mqtt.h"
#include "common/tls.h"
#include "common/topic.h"

#define AGENT_READ_MAX 64 // MQTT messages at a time

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

	struct log_fault renew_fault, broker_fault, outbox_fault, send_fault, stored_fault, refused_fault,
		counter_fault;
};

// ---- report.c: what goes into the outbox ----

// Notes whether the outbox could be written.
void agent_outbox_result(struct agent *agent, bool ok, const struct error *error);
// An event with one text beside its type and time.
bool agent_push_event(struct agent *agent, const char *type, const char *member, const char *value);
// For watch.h. tries 0 and reason NULL: left out.
void agent_tell_about_app(void *user, const char *type, const char *app, long tries, const char *reason);
// Once for each start of the machine.
void agent_report_boot(struct agent *agent);
// A reading, inventory that has changed, and the time of the next.
void agent_heartbeat(struct agent *agent, int64_t now_ms);
// In 0.9 to 1.1 of the interval: devices that were started together must not report together for ever.
void agent_heartbeat_later(struct agent *agent, int64_t now_ms);

// ---- session.c: the connection to the broker, and the certificate that it needs ----

// Sets up everything, connects nothing: mqtt_tick does.
bool session_start(struct agent *agent, struct error *error) must_check;
// Says why it goes, waits a moment for what is on its way, and disconnects.
void session_end(struct agent *agent, const char *why);
// The number and will of the next connection. Rises with every try, for one that seems to fail may have got through.
bool session_next(struct agent *agent, struct error *error) must_check;
// The bridge's answer to a renewal, if it has come.
void session_poll_bridge(struct agent *agent);
void session_renewal_result(struct agent *agent, bool ok, const struct error *error);
