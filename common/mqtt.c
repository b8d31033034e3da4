// How this sits on libmosquitto 2.0 (checked against 2.0.11):
//
// - In threaded mode packet__queue() only appends, so nothing leaves except through mosquitto_loop_write(). Before
//   CONNACK the queue can hold nothing but CONNECT.
// - mosquitto_loop_read() hands over one packet (or, behind unacknowledged publishes or a TLS record, a few) and
//   leaves errno at EAGAIN when the socket had no more. The callbacks below set errno to 0, so that EAGAIN without a
//   callback means "drained", with nothing left inside the TLS layer either, where poll would not see it.
// - CONNECT properties are taken only by the blocking mosquitto_connect_bind_v5(). store_properties() calls it with
//   an address at which it gives up before any system call; the real connect is non-blocking.
// - A non-blocking connect tries only the first address of a name. try_other_family() makes up for it.
// - During the TLS handshake mosquitto_loop_read() drives SSL_connect, whatever poll said, and mosquitto_loop_write()
//   does nothing. A reset is success the first time and an error the next. A connection refused at once, as on
//   loopback, is swallowed by the first try to write ClientHello, and is success for ever: give_up_greeting() sees it.
// - With a log callback it formats two lines for each message. So there is one only until CONNACK, where its errors say
//   what the handshake failed for.
// - No call closes the socket short of mosquitto_destroy(): drop() shuts it down, the next connect closes it.
// - Each queued packet writes a byte into a socket pair meant for the library's own thread; new_session() keeps it
//   from being made where it can.
#include "common/mqtt.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/mqtt_error.h"
#include "common/mqtt_silence.h"
#include "common/socket.h"
#include "common/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum state {
	WAITING,    // for the next try
	CONNECTING, // TCP
	GREETING,   // TLS and CONNACK
	CONNECTED,
	STOPPED, // by mqtt_disconnect
};

// Which of a name's addresses are tried. A local address to bind to leaves only those of its family; once set it
// cannot be taken back (the library would use it after freeing it), so ANY does not come again.
enum family { ANY, ONLY_IPV4, ONLY_IPV6 };

struct mqtt {
	struct mosquitto *mosq;
	struct mqtt_handlers handlers;
	void *user;
	char *host;
	int port;
	int keepalive_s;        // as asked for
	int agreed_keepalive_s; // CONNECTED: as the broker has it (MQTT 5 section 3.2.2.3.14)
	int connect_timeout_ms;
	int backoff_max_ms;

	enum state state;
	unsigned attempt;
	int64_t next_try_ms;  // WAITING
	int64_t deadline_ms;  // CONNECTING, GREETING
	int64_t connected_ms; // CONNECTED: since when
	int64_t spoke_ms;     // CONNECTED: when the broker was last sent something
	enum family family;   // of the next try
	bool second;	      // of the two tries of one round

	struct mqtt_silence silence;

	bool reading;	     // inside mosquitto_loop_read
	bool blocked;	     // the socket did not take all of the last write
	bool rest;	     // dropped in this turn: mqtt_fd shows -1 for one turn before the next connect
	size_t received;     // messages in this mqtt_read
	bool called_back;    // any callback ran in this library call
	bool more;	     // mqtt_read stopped at its maximum, so the TLS layer may hold more
	bool closed;	     // the library closed the socket in this call
	struct error reason; // why; kind ERROR_NONE while unknown
	char detail[256];    // the library's last error line
};

// --- the library's callbacks -----------------------------------------------------------------------------------

static void on_log(struct mosquitto *mosq, void *user, int level, const char *text)
{
	struct mqtt *mqtt = user;
	if (level == MOSQ_LOG_ERR)
		(void)snprintf(mqtt->detail, sizeof(mqtt->detail), "%s", text);
}

static void on_connect(struct mosquitto *mosq, void *user, int reason_code, int flags,
		       const mosquitto_property *properties)
{
	struct mqtt *mqtt = user;
	mqtt->called_back = true;
	if (reason_code != 0) {
		mqtt_describe(&mqtt->reason, reason_code, 0, "", "the broker refused the session");
	} else {
		mqtt->state = CONNECTED;
		mosquitto_log_callback_set(mosq, NULL);
		mqtt->connected_ms = mqtt->spoke_ms = clock_mono_ms();
		mqtt_silence_begin(&mqtt->silence, mqtt->connected_ms);
		uint16_t keepalive_s = (uint16_t)mqtt->keepalive_s;
		(void)mosquitto_property_read_int16(properties, MQTT_PROP_SERVER_KEEP_ALIVE, &keepalive_s, false);
		mqtt->agreed_keepalive_s = keepalive_s;
		if (mqtt->handlers.on_connect)
			mqtt->handlers.on_connect(mqtt->user, flags & 1);
	}
	errno = 0;
}

static void on_disconnect(struct mosquitto *mosq, void *user, int code, const mosquitto_property *properties)
{
	struct mqtt *mqtt = user;
	int saved_errno = errno;
	mqtt->called_back = true;
	mqtt->closed = true;
	if (mqtt->reason.kind == ERROR_NONE)
		mqtt_describe(&mqtt->reason, code, saved_errno, mqtt->detail,
			 code >= 0x80 ? "the broker ended the session" : "the broker's connection is lost");
	errno = 0;
}

struct user_properties {
	struct mqtt_property items[MQTT_PROPERTIES_MAX + 1]; // names and values are ours
	size_t count;
};

static void free_property(struct mqtt_property *property)
{
	free((char *)(uintptr_t)property->name);
	free((char *)(uintptr_t)property->value);
}

static void read_user_properties(const mosquitto_property *properties, struct user_properties *out)
{
	const mosquitto_property *at = properties;
	out->count = 0;
	for (bool skip = false; at; skip = true) {
		char *name = NULL, *value = NULL;
		at = mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &name, &value, skip);
		if (!at)
			break;
		if (out->count == MQTT_PROPERTIES_MAX + 1)
			free_property(&out->items[--out->count]); // the last so far takes its place
		out->items[out->count++] = (struct mqtt_property){name, value};
	}
}

static void free_user_properties(struct user_properties *properties)
{
	for (size_t i = 0; i < properties->count; i++)
		free_property(&properties->items[i]);
}

static void on_message(struct mosquitto *mosq, void *user, const struct mosquitto_message *message,
		       const mosquitto_property *properties)
{
	struct mqtt *mqtt = user;
	mqtt->called_back = true;
	mqtt->received++;
	if (mqtt->handlers.on_message) {
		struct mqtt_message view = {
			.topic = message->topic,
			.payload = message->payload,
			.payload_bytes = (size_t)message->payloadlen,
			.qos = message->qos,
			.retain = message->retain,
		};
		auto_free char *response_topic = NULL;
		auto_free void *correlation = NULL;
		struct user_properties cleanup(free_user_properties) user_properties;
		uint16_t correlation_bytes = 0;
		user_properties.count = 0;
		if (properties) {
			(void)mosquitto_property_read_string(properties, MQTT_PROP_RESPONSE_TOPIC, &response_topic,
							     false);
			(void)mosquitto_property_read_binary(properties, MQTT_PROP_CORRELATION_DATA, &correlation,
							     &correlation_bytes, false);
			read_user_properties(properties, &user_properties);
			view.response_topic = response_topic;
			view.correlation = correlation;
			view.correlation_bytes = correlation_bytes;
			view.properties = user_properties.items;
			view.property_count = user_properties.count;
			view.request_id = mqtt_property(&view, "request-id");
		}
		mqtt->handlers.on_message(mqtt->user, &view);
	}
	errno = 0;
}

// The library also calls this when it has written a QoS 0 message, which nobody waits for.
static void on_publish(struct mosquitto *mosq, void *user, int mid, int reason_code,
		       const mosquitto_property *properties)
{
	struct mqtt *mqtt = user;
	mqtt->called_back = true;
	if (mqtt->reading && mqtt->handlers.on_puback)
		mqtt->handlers.on_puback(mqtt->user, mid, reason_code);
	errno = 0;
}

static void on_subscribe(struct mosquitto *mosq, void *user, int mid, int count, const int *granted,
			 const mosquitto_property *properties)
{
	struct mqtt *mqtt = user;
	mqtt->called_back = true;
	if (mqtt->handlers.on_suback)
		mqtt->handlers.on_suback(mqtt->user, mid, granted, (size_t)count);
	errno = 0;
}

// --- making ------------------------------------------------------------------------------------------------------

// The limit of descriptors is the whole process's: another thread would be refused its own meanwhile.
static bool is_only_thread(void)
{
	struct stat tasks;
	return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3; // itself, its parent and one thread
}

// The library opens a socket pair for each session, to wake a thread that it does not have here: two descriptors and,
// full of bytes that nobody reads, 200 kB. It copes without; so no descriptor is to be had while it asks. A program
// with threads has few sessions, and lets it have them.
static struct mosquitto *new_session(const char *client_id, bool clean_start, void *user)
{
	struct rlimit limit;
	// The lowest free descriptor, where the limit goes.
	int lowest = is_only_thread() ? eventfd(0, EFD_CLOEXEC) : -1;
	bool limited = lowest >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0;
	if (limited) {
		struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = limit.rlim_max};
		limited = setrlimit(RLIMIT_NOFILE, &none) == 0;
	}
	if (lowest >= 0)
		(void)close(lowest);
	struct mosquitto *mosq = mosquitto_new(client_id, clean_start, user);
	if (limited)
		(void)setrlimit(RLIMIT_NOFILE, &limit); // what was allowed before is allowed again
	return mosq;
}

static int store_properties(struct mqtt *mqtt, const struct mqtt_options *options)
{
	mosquitto_property *properties = NULL;
	if (options->session_expiry_s == 0)
		return MOSQ_ERR_SUCCESS;
	int rc =
		mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, options->session_expiry_s);
	if (rc == MOSQ_ERR_SUCCESS) {
		// Port 0 means a Unix socket, and its empty path is refused; the properties are stored by then.
		(void)mosquitto_connect_bind_v5(mqtt->mosq, "", 0, options->keepalive_s, NULL, properties);
	}
	mosquitto_property_free_all(&properties);
	return rc;
}

static bool readable(const char *path, struct error *error)
{
	if (!path || access(path, R_OK) == 0)
		return true;
	return error_errno(error, errno, "cannot read %s", path);
}

static bool configure(struct mqtt *mqtt, const struct mqtt_options *options, struct error *error)
{
	struct mosquitto *mosq = mqtt->mosq;
	int rc = mosquitto_int_option(mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_threaded_set(mosq, true);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_int_option(mosq, MOSQ_OPT_TCP_NODELAY, 1);
	if (rc == MOSQ_ERR_SUCCESS && options->receive_maximum > 0)
		rc = mosquitto_int_option(mosq, MOSQ_OPT_RECEIVE_MAXIMUM, options->receive_maximum);
	if (rc == MOSQ_ERR_SUCCESS) // 0 stands for 65,535
		rc = mosquitto_int_option(mosq, MOSQ_OPT_SEND_MAXIMUM, options->inflight_maximum);
	if (rc == MOSQ_ERR_SUCCESS && options->will_topic) {
		const char *payload = options->will_payload ? options->will_payload : "";
		rc = mosquitto_will_set_v5(mosq, options->will_topic, (int)strlen(payload), payload, 1, true, NULL);
	}
	if (rc == MOSQ_ERR_SUCCESS && options->tls) {
		rc = mosquitto_int_option(mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, false);
		if (rc == MOSQ_ERR_SUCCESS) // takes a reference of its own
			rc = mosquitto_void_option(mosq, MOSQ_OPT_SSL_CTX, tls_context(options->tls));
	} else if (rc == MOSQ_ERR_SUCCESS && options->ca_file) {
		if (!readable(options->ca_file, error) || !readable(options->cert_file, error) ||
		    !readable(options->key_file, error))
			return false;
		rc = mosquitto_tls_set(mosq, options->ca_file, NULL, options->cert_file, options->key_file, NULL);
	}
	if (rc == MOSQ_ERR_SUCCESS)
		rc = store_properties(mqtt, options);
	if (rc != MOSQ_ERR_SUCCESS)
		return mqtt_describe(error, rc, errno, "", "cannot set up the MQTT session");

	mosquitto_connect_v5_callback_set(mosq, on_connect);
	mosquitto_disconnect_v5_callback_set(mosq, on_disconnect);
	mosquitto_message_v5_callback_set(mosq, on_message);
	mosquitto_publish_v5_callback_set(mosq, on_publish);
	mosquitto_subscribe_v5_callback_set(mosq, on_subscribe);
	return true;
}

static bool check(const struct mqtt_options *options, struct error *error)
{
	if (!options->host || !options->host[0] || options->port < 1 || options->port > UINT16_MAX)
		return error_set(error, ERROR_INVALID, "the broker's address needs a host and a port from 1 to 65535");
	if (!options->client_id || !options->client_id[0])
		return error_set(error, ERROR_INVALID, "the MQTT session needs a client id");
	if (options->keepalive_s != 0 && (options->keepalive_s < 5 || options->keepalive_s > UINT16_MAX))
		return error_set(error, ERROR_INVALID, "the MQTT keepalive must be 0 or from 5 to 65535 seconds");
	return true;
}

struct mqtt *mqtt_new(const struct mqtt_options *options, const struct mqtt_handlers *handlers, void *user,
		      struct error *error)
{
	if (!check(options, error))
		return NULL;
	struct mqtt *mqtt = calloc(1, sizeof(*mqtt));
	if (mqtt) {
		mqtt->handlers = *handlers;
		mqtt->user = user;
		mqtt->port = options->port;
		mqtt->keepalive_s = options->keepalive_s;
		mqtt->connect_timeout_ms =
			options->connect_timeout_ms > 0 ? options->connect_timeout_ms : MQTT_CONNECT_TIMEOUT_S * 1000;
		mqtt->backoff_max_ms = options->backoff_max_ms > 0 ? options->backoff_max_ms : MQTT_BACKOFF_MAX_MS;
		mqtt->silence.limit_ms = options->silent_ms;
		mqtt->host = strdup(options->host);
		mqtt->mosq = new_session(options->client_id, options->clean_start, mqtt);
	}
	if (!mqtt || !mqtt->host || !mqtt->mosq) {
		error_errno(error, errno, "cannot make the MQTT session");
		mqtt_free(mqtt);
		return NULL;
	}
	if (!configure(mqtt, options, error)) {
		mqtt_free(mqtt);
		return NULL;
	}
	return mqtt;
}

void mqtt_free(struct mqtt *mqtt)
{
	if (!mqtt)
		return;
	if (mqtt->mosq)
		mosquitto_destroy(mqtt->mosq);
	free(mqtt->host);
	free(mqtt);
}

// --- losing and finding the connection ----------------------------------------------------------------------------

// Whether the next try, to the other family, comes at once.
static bool try_other_family(struct mqtt *mqtt)
{
	if (mqtt->family == ANY && !socket_has_both_families(mqtt->host))
		return false;
	mqtt->family = mqtt->family == ONLY_IPV4 ? ONLY_IPV6 : ONLY_IPV4;
	mqtt->second = !mqtt->second;
	return mqtt->second;
}

// The connection, or the try to make one, has come to an end; mqtt->reason says why.
static void drop(struct mqtt *mqtt)
{
	int64_t now_ms = clock_mono_ms();
	int fd = mosquitto_socket(mqtt->mosq);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	if (mqtt->state == CONNECTED && now_ms - mqtt->connected_ms >= MQTT_STABLE_MS)
		mqtt->attempt = 0;
	if (mqtt->state == CONNECTING && try_other_family(mqtt)) {
		mqtt->next_try_ms = now_ms;
	} else {
		mqtt->next_try_ms =
			now_ms + clock_backoff_ms(mqtt->attempt, MQTT_BACKOFF_BASE_MS, mqtt->backoff_max_ms);
		if (mqtt->attempt < 30)
			mqtt->attempt++;
	}
	mqtt->state = WAITING;
	mqtt->rest = true;
	mqtt->more = false;
	struct error reason = mqtt->reason;
	if (mqtt->handlers.on_disconnect)
		mqtt->handlers.on_disconnect(mqtt->user, &reason);
}

static void begin_call(struct mqtt *mqtt)
{
	mqtt->called_back = false;
	mqtt->closed = false;
	errno = 0;
}

// False when the call of the library ended the connection.
static bool end_call(struct mqtt *mqtt, int rc)
{
	int saved_errno = errno;
	if (rc == MOSQ_ERR_SUCCESS && !mqtt->closed)
		return true;
	if (mqtt->reason.kind == ERROR_NONE)
		mqtt_describe(&mqtt->reason, rc, saved_errno, mqtt->detail, "the broker's connection is lost");
	drop(mqtt);
	return false;
}

static void start(struct mqtt *mqtt)
{
	mqtt->state = CONNECTING;
	mqtt->deadline_ms = clock_mono_ms() + mqtt->connect_timeout_ms;
	mqtt->reason = (struct error){0};
	mqtt->detail[0] = '\0';
	mqtt->blocked = false;
	mosquitto_log_callback_set(mqtt->mosq, on_log);
	begin_call(mqtt);
	int rc = MOSQ_ERR_SUCCESS;
	if (mqtt->family != ANY)
		rc = mosquitto_string_option(mqtt->mosq, MOSQ_OPT_BIND_ADDRESS,
					     mqtt->family == ONLY_IPV4 ? "0.0.0.0" : "::");
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_connect_bind_async(mqtt->mosq, mqtt->host, mqtt->port, mqtt->keepalive_s, NULL);
	if (rc != MOSQ_ERR_SUCCESS) {
		mqtt_describe(&mqtt->reason, rc, errno, mqtt->detail, "cannot connect to the broker");
		drop(mqtt);
		return;
	}
	(void)fcntl(mosquitto_socket(mqtt->mosq), F_SETFD, FD_CLOEXEC);
}

static bool tcp_established(struct mqtt *mqtt)
{
	int fd = mosquitto_socket(mqtt->mosq);
	struct pollfd watch = {.fd = fd, .events = POLLOUT};
	if (poll(&watch, 1, 0) <= 0)
		return false;
	int code = 0;
	socklen_t len_bytes = sizeof(code);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len_bytes) < 0)
		code = errno;
	if (code == 0)
		return true;
	error_errno(&mqtt->reason, code, "cannot connect to the broker at %s port %d", mqtt->host, mqtt->port);
	drop(mqtt);
	return false;
}

static void time_out(struct mqtt *mqtt)
{
	error_set(&mqtt->reason, ERROR_TIMEOUT, "%s within %d ms",
		  mqtt->state == CONNECTING ? "no TCP connection to the broker" : "no CONNACK from the broker",
		  mqtt->connect_timeout_ms);
	drop(mqtt);
}

// --- the caller's loop ---------------------------------------------------------------------------------------------

int mqtt_fd(const struct mqtt *mqtt)
{
	if (mqtt->state == WAITING || mqtt->state == STOPPED)
		return -1;
	return mosquitto_socket(mqtt->mosq);
}

int mqtt_poll_events(const struct mqtt *mqtt)
{
	switch (mqtt->state) {
	case CONNECTING:
		return POLLOUT;
	case GREETING:
		return mqtt->blocked ? POLLIN | POLLOUT : POLLIN;
	case CONNECTED:
		return mosquitto_want_write(mqtt->mosq) ? POLLIN | POLLOUT : POLLIN;
	default:
		return 0;
	}
}

static int clamp(int64_t value, int min, int max)
{
	if (value < min)
		return min;
	return value > max ? max : (int)value;
}

int mqtt_timeout_ms(const struct mqtt *mqtt)
{
	enum { CHECK_MIN_MS = 1000, CHECK_MAX_MS = 15000 };
	switch (mqtt->state) {
	case WAITING:
		return mqtt->rest ? 0 : clamp(mqtt->next_try_ms - clock_mono_ms(), 0, mqtt->backoff_max_ms);
	case CONNECTING:
	case GREETING:
		return clamp(mqtt->deadline_ms - clock_mono_ms(), 0, mqtt->connect_timeout_ms);
	case CONNECTED:
		if (mqtt->more)
			return 0;
		if (mqtt->silence.limit_ms > 0)
			return MQTT_LOOK_MS;
		// PINGREQ may be late by a quarter: the broker waits for one and a half.
		return mqtt->agreed_keepalive_s == 0
			       ? CHECK_MAX_MS
			       : clamp((int64_t)mqtt->agreed_keepalive_s * 250, CHECK_MIN_MS, CHECK_MAX_MS);
	default:
		return -1;
	}
}

bool mqtt_connected(const struct mqtt *mqtt)
{
	return mqtt->state == CONNECTED;
}

bool mqtt_silent(const struct mqtt *mqtt)
{
	return mqtt->state == CONNECTED && mqtt->silence.silent;
}

// What waits to be read was heard, also where the caller may not read it yet.
static void listen_now(struct mqtt *mqtt)
{
	struct pollfd watch = {.fd = mosquitto_socket(mqtt->mosq), .events = POLLIN};
	if (mqtt->silence.limit_ms > 0 && poll(&watch, 1, 0) > 0)
		mqtt_silence_heard(&mqtt->silence, clock_mono_ms());
}

// One call of the library. False when the connection is gone or nothing more is readable.
static bool read_once(struct mqtt *mqtt)
{
	begin_call(mqtt);
	mqtt->reading = true;
	int rc = mosquitto_loop_read(mqtt->mosq, 1);
	bool drained = errno == EAGAIN && !mqtt->called_back;
	mqtt->reading = false;
	return end_call(mqtt, rc) && !drained;
}

static void give_up_greeting(struct mqtt *mqtt)
{
	if (!socket_peer_gone(mosquitto_socket(mqtt->mosq)))
		return;
	(void)read_once(mqtt); // what the TLS layer may still hold says more
	if (mqtt->state != GREETING)
		return;
	error_set(&mqtt->reason, ERROR_UNREACHABLE, "the broker closed the connection before it answered");
	drop(mqtt);
}

size_t mqtt_read(struct mqtt *mqtt, size_t max_messages)
{
	mqtt->received = 0;
	if (mqtt->state == CONNECTING && tcp_established(mqtt)) {
		mqtt->state = GREETING;
		mqtt->second = false;
	}
	if (mqtt->state == GREETING)
		(void)read_once(mqtt);
	if (mqtt->state == GREETING)
		give_up_greeting(mqtt);
	if (mqtt->state != CONNECTED)
		return mqtt->received;

	listen_now(mqtt);
	mqtt->more = true;
	while (mqtt->state == CONNECTED && mqtt->received < max_messages) {
		if (!read_once(mqtt)) {
			mqtt->more = false;
			break;
		}
	}
	return mqtt->received;
}

void mqtt_write(struct mqtt *mqtt)
{
	if ((mqtt->state != GREETING && mqtt->state != CONNECTED) || !mosquitto_want_write(mqtt->mosq))
		return;
	// The library writes packet by packet, thousands of four-byte PUBACKs: let the kernel put them together.
	int fd = mosquitto_socket(mqtt->mosq);
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	begin_call(mqtt);
	int rc = mosquitto_loop_write(mqtt->mosq, 1);
	mqtt->blocked = errno == EAGAIN;
	if (!end_call(mqtt, rc))
		return;
	mqtt->spoke_ms = clock_mono_ms();
	on = 0;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

// The library would send all that is queued before it. By hand it may stand between two packets: not behind one of
// which the socket took a part only. False when two bytes cannot leave now: the broker does not read, or is gone.
static bool send_ping(struct mqtt *mqtt)
{
	static const uint8_t pingreq[] = {0xc0, 0x00}; // MQTT 5 section 3.12
	struct pollfd watch = {.fd = mosquitto_socket(mqtt->mosq), .events = POLLOUT};
	if (mqtt->blocked || poll(&watch, 1, 0) <= 0 || watch.revents != POLLOUT)
		return false;
	void *ssl = mosquitto_ssl_get(mqtt->mosq);
	bool sent = ssl ? tls_write(ssl, pingreq, sizeof(pingreq))
			: send(watch.fd, pingreq, sizeof(pingreq), MSG_NOSIGNAL) == (ssize_t)sizeof(pingreq);
	mqtt->spoke_ms = clock_mono_ms();
	if (!sent)
		(void)shutdown(watch.fd, SHUT_RDWR); // found out by the next read
	return sent;
}

void mqtt_ping(struct mqtt *mqtt)
{
	if (mqtt->state == CONNECTED && mqtt->agreed_keepalive_s > 0 &&
	    clock_mono_ms() - mqtt->spoke_ms >= (int64_t)mqtt->agreed_keepalive_s * 500)
		(void)send_ping(mqtt);
}

bool mqtt_unsent(const struct mqtt *mqtt)
{
	return mqtt->state == CONNECTED && mosquitto_want_write(mqtt->mosq);
}

void mqtt_tick(struct mqtt *mqtt)
{
	int64_t now_ms = clock_mono_ms();
	switch (mqtt->state) {
	case WAITING:
		if (mqtt->rest)
			mqtt->rest = false;
		else if (now_ms >= mqtt->next_try_ms)
			start(mqtt);
		break;
	case CONNECTING:
	case GREETING:
		if (now_ms >= mqtt->deadline_ms)
			time_out(mqtt);
		break;
	case CONNECTED:
		begin_call(mqtt);
		if (!end_call(mqtt, mosquitto_loop_misc(mqtt->mosq)) || mqtt->silence.limit_ms == 0)
			break;
		listen_now(mqtt);
		if (mqtt_silence_look(&mqtt->silence, now_ms) && send_ping(mqtt))
			mqtt_silence_asked(&mqtt->silence);
		break;
	default:
		break;
	}
}

void mqtt_cut(struct mqtt *mqtt)
{
	if (mqtt->state == WAITING || mqtt->state == STOPPED)
		return;
	error_set(&mqtt->reason, ERROR_FAILED, "the connection to the broker was cut from this side");
	drop(mqtt);
}

void mqtt_connect_now(struct mqtt *mqtt)
{
	if (mqtt->state == STOPPED) {
		mqtt->state = WAITING;
		mqtt->attempt = 0;
		mqtt->more = false;
	}
	if (mqtt->state == WAITING)
		mqtt->next_try_ms = clock_mono_ms();
}

static void flush_disconnect(struct mqtt *mqtt, int64_t deadline_ms)
{
	int rc = mosquitto_disconnect_v5(mqtt->mosq, MQTT_RC_NORMAL_DISCONNECTION, NULL);
	begin_call(mqtt);
	while (rc == MOSQ_ERR_SUCCESS && !mqtt->closed) {
		int64_t left_ms = deadline_ms - clock_mono_ms();
		struct pollfd watch = {.fd = mosquitto_socket(mqtt->mosq), .events = POLLOUT};
		if (watch.fd < 0 || left_ms < 0)
			return;
		if (poll(&watch, 1, clamp(left_ms, 0, INT_MAX)) < 0 && errno != EINTR)
			return;
		rc = mosquitto_loop_write(mqtt->mosq, 1);
	}
}

void mqtt_disconnect(struct mqtt *mqtt, int timeout_ms)
{
	int fd = mosquitto_socket(mqtt->mosq);
	if (mqtt->state == CONNECTED) {
		int64_t deadline_ms = clock_mono_ms() + timeout_ms;
		auto_close int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0); // outlives the library's own close
		flush_disconnect(mqtt, deadline_ms);
		if (kept >= 0 && mqtt->closed)
			// The library closed at once, and Mosquitto, at the reset that answers what it still sends,
			// would forget what it has not read yet: the DISCONNECT, say, and publish the will.
			socket_await_close(kept, deadline_ms);
	}
	fd = mosquitto_socket(mqtt->mosq);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	mqtt->state = STOPPED;
}

bool mqtt_subscribe(struct mqtt *mqtt, const char *filter, int qos, struct error *error)
{
	if (mqtt->state != CONNECTED)
		return error_set(error, ERROR_UNREACHABLE, "cannot subscribe: there is no connection to the broker");
	int rc = mosquitto_subscribe_v5(mqtt->mosq, NULL, filter, qos, 0, NULL);
	return rc == MOSQ_ERR_SUCCESS || mqtt_describe(error, rc, errno, "", "cannot subscribe");
}

bool mqtt_unsubscribe(struct mqtt *mqtt, const char *filter, struct error *error)
{
	if (mqtt->state != CONNECTED)
		return error_set(error, ERROR_UNREACHABLE, "cannot unsubscribe: there is no connection to the broker");
	int rc = mosquitto_unsubscribe_v5(mqtt->mosq, NULL, filter, NULL);
	return rc == MOSQ_ERR_SUCCESS || mqtt_describe(error, rc, errno, "", "cannot unsubscribe");
}

bool mqtt_text_valid(const char *text)
{
	return mosquitto_validate_utf8(text, (int)strnlen(text, UINT16_MAX + 1)) == MOSQ_ERR_SUCCESS;
}

static int add_user_property(mosquitto_property **out, const char *name, const char *value)
{
	// The library looks at the name only. The broker ends the session at such a value, again at each repetition.
	if (!mqtt_text_valid(value))
		return MOSQ_ERR_MALFORMED_UTF8;
	return mosquitto_property_add_string_pair(out, MQTT_PROP_USER_PROPERTY, name, value);
}

static int publish_properties(const struct mqtt_publish *publish, mosquitto_property **out)
{
	int rc = MOSQ_ERR_SUCCESS;
	if (publish->response_topic)
		rc = mosquitto_property_add_string(out, MQTT_PROP_RESPONSE_TOPIC, publish->response_topic);
	if (rc == MOSQ_ERR_SUCCESS && publish->correlation) {
		if (publish->correlation_bytes > UINT16_MAX)
			return MOSQ_ERR_INVAL;
		rc = mosquitto_property_add_binary(out, MQTT_PROP_CORRELATION_DATA, publish->correlation,
						   (uint16_t)publish->correlation_bytes);
	}
	if (rc == MOSQ_ERR_SUCCESS && publish->request_id)
		rc = add_user_property(out, "request-id", publish->request_id);
	for (size_t i = 0; rc == MOSQ_ERR_SUCCESS && i < publish->property_count; i++)
		rc = add_user_property(out, publish->properties[i].name, publish->properties[i].value);
	return rc;
}

bool mqtt_set_will(struct mqtt *mqtt, const struct mqtt_publish *will, struct error *error)
{
	mosquitto_property *properties = NULL;
	int rc = publish_properties(will, &properties);
	if (rc == MOSQ_ERR_SUCCESS) // takes the properties over, unless it fails
		rc = mosquitto_will_set_v5(mqtt->mosq, will->topic, (int)will->payload_bytes, will->payload, will->qos,
					   will->retain, properties);
	if (rc == MOSQ_ERR_SUCCESS)
		return true;
	mosquitto_property_free_all(&properties);
	return mqtt_describe(error, rc, errno, "", "cannot set the will");
}

bool mqtt_publish(struct mqtt *mqtt, const struct mqtt_publish *publish, int *mid, struct error *error)
{
	if (mqtt->state != CONNECTED)
		return error_set(error, ERROR_UNREACHABLE, "cannot publish: there is no connection to the broker");
	if (publish->payload_bytes > INT_MAX)
		return error_set(error, ERROR_LIMIT, "cannot publish: the payload is too large");
	mosquitto_property *properties = NULL;
	int given = 0;
	int rc = publish_properties(publish, &properties);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_publish_v5(mqtt->mosq, &given, publish->topic, (int)publish->payload_bytes,
					  publish->payload, publish->qos, publish->retain, properties);
	mosquitto_property_free_all(&properties);
	if (rc != MOSQ_ERR_SUCCESS)
		return mqtt_describe(error, rc, errno, "", "cannot publish");
	if (mid)
		*mid = given;
	return true;
}

void mqtt_library_init(void)
{
	(void)mosquitto_lib_init();
}

void mqtt_library_cleanup(void)
{
	(void)mosquitto_lib_cleanup();
}
