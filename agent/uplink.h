// Sends the outbox: which message when, and when again (docs/protocol.md, sections 5 and 7). Knows no network: messages
// leave through a port, and time is passed in.
//
// After each connect: hello, then the messages from the oldest on, in order, with at most UPLINK_ROWS_MAX messages and
// UPLINK_BYTES_MAX bytes sent and not stored; more as `stored` comes. When nothing is stored for a while: hello, and
// all of it again.
//
// Consecutive readings leave as one array. After an outage the backlog leaves at replay_per_s, so that a fleet that
// comes back together does not bury the server, nor one device its own link; what the device measures meanwhile waits
// at its end, in order, and is shown at once by hello's `latest`.
//
// libmosquitto too sends again, after a reconnect, what the broker has not acknowledged. So that flapping does not
// pile up copies in its queue, nothing more is sent until those are acknowledged.
#pragma once

#include "agent/crash.h"
#include "agent/outbox.h"
#include "common/buf.h"
#include "common/json.h"

#include <stdbool.h>
#include <stdint.h>

#define UPLINK_ROWS_MAX OUTBOX_IN_FLIGHT_MAX
#define UPLINK_BYTES_MAX 1048576       // libmosquitto holds a copy in memory until PUBACK
#define UPLINK_RESEND_MIN_MS 30000     // protocol, section 7
#define UPLINK_RESEND_MAX_MS 300000
#define UPLINK_UNDELIVERED_MS 5000     // nobody was subscribed: whoever should be is on its way back
#define UPLINK_DROP_HELLO_MS 10000     // a full outbox drops with each message: say so no oftener
#define UPLINK_MESSAGE_BYTES_MAX 65536 // of an array of readings; a larger one would only cost memory
#define UPLINK_REPLAY_PER_S 200        // default of the option replay_per_s
#define UPLINK_TURNS_PER_S 2           // a replay waits for full arrays, but no longer than this
#define UPLINK_ROW_BYTES 1024          // a larger message counts as several rows of the replay

struct uplink_port {
	// QoS 1. age_ms: how long its newest row has waited. ERROR_UNREACHABLE when there is no connection.
	bool (*publish)(void *user, const char *topic, const void *payload, size_t payload_bytes, int64_t age_ms,
			struct error *error);
	void *user;
};

// What hello tells besides the outbox. Strings belong to the caller; an empty one is left out.
struct uplink_facts {
	int64_t interval_s;
	const char *boot_id;
	const char *fingerprint;
	const char *certificate; // serial, hex
	const char *not_after;   // RFC 3339
	const char *trust;       // SHA-256 of the bundle of authorities, hex
	const char *mode;        // how it is connected; NULL: all the time
	const char *push_token;  // NULL: it never had one; "": it has none any more
	char *const *actions; // NULL-terminated
	int64_t signers;         // version of the announcement of command keys that it has; 0: of none
};

struct uplink {
	struct outbox *outbox;
	struct uplink_port port;
	const struct uplink_facts *facts;
	struct crash *crash;
	int64_t replay_per_s; // rows; may be set after uplink_init
	char event_topic[TOPIC_MAX_BYTES], telemetry_topic[TOPIC_MAX_BYTES];
	struct buf array;    // the readings that leave together
	struct json *latest; // reading; NULL: none yet

	bool connected;
	bool hello_due;
	int64_t sent_seq;         // highest sent since the last start from the oldest
	int64_t in_flight_bytes;  // sent and not stored
	int64_t unacknowledged;   // published without PUBACK, whatever the connection
	int64_t left_behind;      // of these, from before this connection
	char told_epoch[EPOCH_MAX + 1]; // in the last hello
	int64_t told_dropped;
	int64_t told_ms;
	int64_t resend_ms;        // when to send again, if nothing is stored by then; 0: nothing waits
	unsigned resends;         // since something was stored
	int64_t credit;           // thousandths of a row that may leave; below 0 after a large message
	int64_t credit_ms;        // when it was counted
	uint64_t published;       // messages of the outbox, ever
};

bool uplink_init(struct uplink *uplink, struct outbox *outbox, const char *device, const struct uplink_port *port,
		 const struct uplink_facts *facts, struct crash *crash, struct error *error) must_check;
void uplink_done(struct uplink *uplink);

void uplink_connected(struct uplink *uplink);
void uplink_disconnected(struct uplink *uplink);
void uplink_acknowledged(struct uplink *uplink); // a PUBACK
// The PUBACK said that nobody got it (MQTT 5, reason code 0x10): it goes out again soon.
void uplink_undelivered(struct uplink *uplink, int64_t now_ms);
// A fact has changed: hello goes out again.
void uplink_hello(struct uplink *uplink);
// The newest reading, which is in the outbox too. While much waits before it, hello shows it.
void uplink_latest(struct uplink *uplink, const struct json *reading);
// A payload of `stored`.
bool uplink_stored(struct uplink *uplink, const char *payload, size_t payload_bytes, int64_t now_ms,
		   struct error *error) must_check;
// Sends what may be sent. now_ms is monotonic, wall_ms goes into hello.
bool uplink_pump(struct uplink *uplink, int64_t now_ms, int64_t wall_ms, struct error *error) must_check;
// When uplink_pump has something to do without anything else happening; INT64_MAX: never.
int64_t uplink_deadline_ms(const struct uplink *uplink);
