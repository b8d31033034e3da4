// One MQTT 5 session over libmosquitto, driven from the caller's own poll loop.
//
// libmosquitto queues the PUBACK of a QoS 1 message before it calls on_message, and sends it with the next
// write. So the caller decides when messages are acknowledged: it calls mqtt_read until the batch is full or
// nothing is left to read, commits, and only then mqtt_write. Anything published meanwhile waits with it. The
// session runs in libmosquitto's "threaded" mode, in which publishing only queues.
//
//   for (;;) {
//       poll(mqtt_fd(m), mqtt_poll_events(m), mqtt_timeout_ms(m));
//       mqtt_read(m, batch_max);  // calls on_message
//       commit();
//       mqtt_write(m);            // PUBACKs and publishes leave here
//       mqtt_tick(m);             // keepalive, timeouts, reconnect with full jitter
//   }
//
// The order matters: PINGREQ is queued by mqtt_tick and leaves with the next mqtt_write, so it too waits for a commit,
// and mqtt_tick after mqtt_read has seen the PINGRESP. While a commit has to wait, leave POLLOUT out of poll's events
// and call mqtt_ping. QoS 1 publishes without a PUBACK are sent again after a reconnect, under the same mid: do not
// publish them anew unless mqtt_free came between.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mqtt;
struct tls;

// MQTT 5 section 3.3.2.3.7.
struct mqtt_property {
	const char *name, *value;
};

struct mqtt_message {
	const char *topic;
	const void *payload; // not NUL-terminated; NULL when empty
	size_t payload_bytes;
	int qos;
	bool retain;
	const char *response_topic;      // MQTT 5 section 3.3.2.3.5; NULL without
	const void *correlation;         // MQTT 5 section 3.3.2.3.6; NULL without
	size_t correlation_bytes;
	const char *request_id;          // user property "request-id"; NULL without
	// User properties, that one included: the first MQTT_PROPERTIES_MAX, and in any case the last.
	const struct mqtt_property *properties;
	size_t property_count;
};
// The value of the first user property of this name; NULL without.
const char *mqtt_property(const struct mqtt_message *message, const char *name);
// The value of the last user property, if this is its name: the broker's own word comes after all that a client wrote.
const char *mqtt_last_property(const struct mqtt_message *message, const char *name);

struct mqtt_handlers {
	// CONNACK: subscribe here, every time (Mosquitto does not keep shared subscriptions).
	void (*on_connect)(void *user, bool session_present);
	// error says why; the session reconnects by itself.
	void (*on_disconnect)(void *user, const struct error *error);
	void (*on_message)(void *user, const struct mqtt_message *message);
	// PUBACK of mid. reason_code 0x00 is success, 0x10 "no matching subscribers", >= 0x80 refused.
	void (*on_puback)(void *user, int mid, int reason_code);
	// SUBACK; granted reason codes in the order of the filters, >= 0x80 refused.
	void (*on_suback)(void *user, int mid, const int *reason_codes, size_t count);
};

struct mqtt_options {
	const char *host;
	int port;
	const char *client_id;
	struct tls *tls;       // NULL: as the files say. The caller keeps it, and may change it for the next connect
	const char *ca_file;   // NULL, as is tls: plain TCP
	const char *cert_file; // NULL: no client certificate
	const char *key_file;
	int keepalive_s;
	bool clean_start;
	uint32_t session_expiry_s; // UINT32_MAX: the session never expires
	uint16_t receive_maximum;  // MQTT 5 section 3.1.2.11.3
	uint16_t inflight_maximum; // QoS 1 messages sent and not acknowledged; CONNACK's limit takes its place
	const char *will_topic;    // NULL: no will; retained, QoS 1
	const char *will_payload;
	int connect_timeout_ms; // TCP, TLS and CONNACK together; 0: MQTT_CONNECT_TIMEOUT_S
	// Longest wait between two tries; 0: MQTT_BACKOFF_MAX_MS, which many devices need. For a service, which is one
	// and for which all devices wait, it is short.
	int backoff_max_ms;
	int silent_ms; // for mqtt_silent: without an answer, on top of MQTT_ASK_AFTER_MS without a word; 0: nobody asks
};

// Strings are copied. Does not connect yet: the first mqtt_tick does.
struct mqtt *mqtt_new(const struct mqtt_options *options, const struct mqtt_handlers *handlers, void *user,
		      struct error *error) must_check;
void mqtt_free(struct mqtt *mqtt);
DEFINE_CLEANUP(struct mqtt, mqtt_free)

// -1 while there is no connection, for a turn of the loop at least; changes at each reconnect.
int mqtt_fd(const struct mqtt *mqtt);
int mqtt_poll_events(const struct mqtt *mqtt); // POLLIN, and POLLOUT while something waits to be sent
int mqtt_timeout_ms(const struct mqtt *mqtt);  // until mqtt_tick has something to do
bool mqtt_connected(const struct mqtt *mqtt);
// The session stands, but the broker has not answered for silent_ms (common/mqtt_silence.h). It is left alone: where
// the broker goes on, the session does, too; where it does not, the keepalive ends it.
bool mqtt_silent(const struct mqtt *mqtt);
#define MQTT_SILENT_WHY                                                                                                \
	"the broker does not answer, although the connection stands: look whether its process is stopped or its "      \
	"machine overloaded"
// The option of services, in seconds, and what it is.
#define MQTT_SILENT_S "7"
#define MQTT_SILENT_S_HELP                                                                                             \
	"seconds that a broker whose connection stands may leave a question unanswered before people are told; the "   \
	"session is kept"
// Of muster_broker_silent.
#define MQTT_SILENT_HELP "1 while the session with the broker stands, but nothing is answered"

// Reads packets until nothing is readable or max_messages were handed to on_message; sends nothing. Returns how
// many messages were read, a few more than max_messages where the library hands over a whole TLS record. A lost
// connection is reported through on_disconnect.
size_t mqtt_read(struct mqtt *mqtt, size_t max_messages);
// Sends what is queued, PUBACKs included, until done or the socket is full.
void mqtt_write(struct mqtt *mqtt);
// PINGREQ past everything that is queued, when half of the keepalive has gone by without a word to the broker: for a
// caller that may not write yet. Calls no handler. The answer is read with the rest.
void mqtt_ping(struct mqtt *mqtt);
// The socket was full, so that something still waits for mqtt_write.
bool mqtt_unsent(const struct mqtt *mqtt);
// Keepalive, connection timeouts, and (re)connecting with exponential backoff and full jitter.
void mqtt_tick(struct mqtt *mqtt);
// Cuts the connection and sends nothing, so that whatever was read and is not acknowledged comes again; on_disconnect
// is called, and the session reconnects by itself. Does nothing without a connection.
void mqtt_cut(struct mqtt *mqtt);
// Tries to connect with the next mqtt_tick: ends the wait for it, and takes mqtt_disconnect back.
void mqtt_connect_now(struct mqtt *mqtt);
// Sends what is queued and DISCONNECT (reason 0, so that the broker drops the will), for at most timeout_ms, and
// connects no more. on_disconnect is not called.
void mqtt_disconnect(struct mqtt *mqtt, int timeout_ms);

bool mqtt_subscribe(struct mqtt *mqtt, const char *filter, int qos, struct error *error) must_check;
// Harmless for a filter that was not subscribed.
bool mqtt_unsubscribe(struct mqtt *mqtt, const char *filter, struct error *error) must_check;
struct mqtt_publish {
	const char *topic;
	const void *payload;
	size_t payload_bytes;
	int qos;
	bool retain;
	const char *response_topic; // may be NULL, as may all below
	const void *correlation;
	size_t correlation_bytes;
	const char *request_id;
	const struct mqtt_property *properties; // further user properties
	size_t property_count;
};
// Whether a text may stand in a packet: UTF-8 without control characters and non-characters (MQTT 5 section 1.5.4).
bool mqtt_text_valid(const char *text);
// The will of the next connect and those after it, in place of that of the options.
bool mqtt_set_will(struct mqtt *mqtt, const struct mqtt_publish *will, struct error *error) must_check;
// Queues only. *mid may be NULL. ERROR_UNREACHABLE without a connection, ERROR_INVALID for a property that is no
// mqtt_text_valid, and another kind for what no broker would take (nothing is queued then).
bool mqtt_publish(struct mqtt *mqtt, const struct mqtt_publish *publish, int *mid, struct error *error) must_check;

// Call once in main before and after everything else.
void mqtt_library_init(void);
void mqtt_library_cleanup(void);
