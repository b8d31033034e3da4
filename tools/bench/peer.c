#include "tools/bench/peer.h"

#include "common/clock.h"
#include "common/file.h"
#include "tools/bench/load.h"
#include "tools/bench/packet.h"
#include "tools/bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CLIENT_ID "svc.ingest" // whose rights it needs
#define RECEIVE_MAXIMUM 5000   // ingest's own
#define STORED_EVERY_MS 1000   // ingest's default
#define IN_BYTES ((size_t)256 * 1024)
#define MARKER_TOPIC "svc/v1/" CLIENT_ID "/bench" // nobody listens
#define MARKER_EVERY 256       // PUBACKs
#define REST_MS 20             // between two reads
enum { MARKERS_MAX = 1024 };
#define SINK_IN_BYTES ((size_t)4096)
#define EVENTS_MAX 512
#define WATCH_MS 40
#define PEM_BYTES_MAX 65536

// ---- the counting subscriber ----

// Mosquitto reads one packet a turn from each connection: while a hundred devices publish, it reads a hundred messages
// for one PUBACK, hands on many more than Receive Maximum allows, and keeps them all until, a million later, it
// drops. So a message counts once the broker has read its PUBACK, which a marker behind it tells: a publish of our
// own, acknowledged in turn.
struct counter {
	const struct peer_options *options;
	struct wire wire;
	int64_t *stored_ms; // by device: when its last was sent
	int64_t unmarked;   // PUBACKs since the last marker
	int64_t covered[MARKERS_MAX];
	unsigned marker_from, marker_count; // on their way, in order
};

static void answer(struct counter *counter, const struct packet_message *message, int64_t now_ms)
{
	char number[8] = "";
	char topic[64];
	char payload[96];
	uint8_t packet[PACKET_MAX_BYTES];
	size_t prefix_bytes = strlen("fleet/v1/bench-");
	if (message->topic_bytes < prefix_bytes + 5)
		return;
	memcpy(number, message->topic + prefix_bytes, 5);
	size_t device = strtoul(number, NULL, 10);
	if (device >= counter->options->devices)
		return;
	if (now_ms - counter->stored_ms[device] < STORED_EVERY_MS)
		return;
	counter->stored_ms[device] = now_ms;
	(void)snprintf(topic, sizeof(topic), "fleet/v1/bench-%05zu/stored", device);
	// Not what is stored, so 0: only of its size.
	int len = snprintf(payload, sizeof(payload), "{\"epoch\":\"0123456789abcdef\",\"seq\":%lld}", 0LL);
	const struct packet_publish publish = {.topic = topic, .payload = payload, .payload_bytes = (size_t)len};
	wire_put(&counter->wire, packet, packet_publish(packet, &publish));
}

static void mark(struct counter *counter)
{
	uint8_t packet[PACKET_MAX_BYTES];
	const struct packet_publish publish = {.topic = MARKER_TOPIC, .qos = 1, .mid = 1, .payload = ""};
	if (counter->marker_count == MARKERS_MAX || counter->unmarked == 0 ||
	    (counter->unmarked < MARKER_EVERY && counter->marker_count > 0))
		return;
	counter->covered[(counter->marker_from + counter->marker_count++) % MARKERS_MAX] = counter->unmarked;
	counter->unmarked = 0;
	wire_put(&counter->wire, packet, packet_publish(packet, &publish));
}

static void take_marker(struct counter *counter)
{
	if (counter->marker_count == 0)
		return;
	atomic_fetch_add(&counter->options->board->delivered, counter->covered[counter->marker_from]);
	counter->marker_from = (counter->marker_from + 1) % MARKERS_MAX;
	counter->marker_count--;
}

static bool count_packet(struct counter *counter, const struct packet *packet, int64_t now_ms, struct error *error)
{
	uint8_t out[PACKET_MAX_BYTES];
	struct packet_message message;
	switch (packet->type) {
	case PACKET_CONNACK:
		if (packet_reason(packet) != 0)
			return error_set(error, ERROR_DENIED, "the broker refused the counting subscriber");
		wire_put(&counter->wire, out, packet_subscribe(out, 1, "fleet/v1/+/telemetry", 1));
		return true;
	case PACKET_SUBACK:
		if (packet_reason(packet) > 2)
			return error_set(error, ERROR_DENIED, "the broker refused the counting subscription");
		atomic_store(&counter->options->board->ready, true);
		return true;
	case PACKET_PUBLISH:
		if (!packet_read_publish(packet, &message))
			return error_set(error, ERROR_FAILED, "the broker sent a malformed PUBLISH");
		wire_put(&counter->wire, out, packet_puback(out, message.mid));
		counter->unmarked++;
		answer(counter, &message, now_ms);
		mark(counter);
		return true;
	case PACKET_PUBACK:
		take_marker(counter);
		return true;
	default:
		return true;
	}
}

static bool count_read(struct counter *counter, struct error *error)
{
	bool more = true;
	while (more) {
		if (!wire_read(&counter->wire, &more, error))
			return false;
		int64_t now_ms = clock_mono_ms();
		struct packet packet;
		bool broken = false;
		size_t len_bytes;
		const uint8_t *data;
		while ((data = wire_data(&counter->wire, &len_bytes)), packet_next(data, len_bytes, &packet, &broken)) {
			if (!count_packet(counter, &packet, now_ms, error))
				return false;
			wire_take(&counter->wire, packet.total_bytes);
		}
		if (broken)
			return error_set(error, ERROR_FAILED, "what the broker sent is not MQTT");
		mark(counter);
		if (!wire_flush(&counter->wire, error))
			return false;
	}
	return true;
}

static bool count_turn(struct counter *counter, struct error *error)
{
	struct wire *wire = &counter->wire;
	struct pollfd watch = {.fd = wire->fd, .events = (short)(POLLIN | (wire->wants_out ? POLLOUT : 0))};
	if (poll(&watch, 1, -1) < 0 && errno != EINTR)
		return error_errno(error, errno, "waiting");
	if (!wire->greeted) {
		uint8_t packet[PACKET_MAX_BYTES];
		if (!wire_greet(wire, error))
			return false;
		if (!wire->greeted)
			return true;
		wire_put(wire, packet, packet_connect(packet, CLIENT_ID, CLIENT_ID, RECEIVE_MAXIMUM));
		return wire_flush(wire, error);
	}
	return count_read(counter, error) && wire_flush(wire, error);
}

void peer_count(const struct peer_options *options, struct error *error)
{
	struct counter counter = {.options = options};
	struct wire_tls *tls = NULL;
	char *pem = NULL;
	counter.stored_ms = calloc(options->devices, sizeof(*counter.stored_ms));
	if (!counter.stored_ms) {
		error_errno(error, ENOMEM, "cannot make the counting subscriber");
		return;
	}
	if (options->ca_file) {
		tls = wire_tls_client(options->ca_file, options->key_file, error);
		pem = tls ? file_read(options->cert_file, PEM_BYTES_MAX, NULL, error) : NULL;
		if (!pem)
			return;
	}
	if (!wire_connect(&counter.wire, options->port, tls, pem, IN_BYTES, error))
		return;
	// A subscriber that wakes for every few messages costs the broker a quarter of its speed.
	while (count_turn(&counter, error))
		(void)poll(NULL, 0, atomic_load(&options->board->ready) ? REST_MS : 0);
}

// ---- the null sink ----

static bool sink_packet(struct wire *wire, const struct packet *packet)
{
	uint8_t out[PACKET_MAX_BYTES];
	struct packet_message message;
	switch (packet->type) {
	case PACKET_CONNECT:
		wire_put(wire, out, packet_connack(out));
		return true;
	case PACKET_SUBSCRIBE:
		wire_put(wire, out, packet_suback(out, packet_mid(packet)));
		return true;
	case PACKET_PUBLISH:
		if (!packet_read_publish(packet, &message))
			return false;
		wire_put(wire, out, packet_puback(out, message.mid));
		return true;
	default:
		return true;
	}
}

static bool sink_serve(struct wire *wire, struct error *error)
{
	bool more = true;
	if (!wire->greeted && !wire_greet(wire, error))
		return false;
	while (wire->greeted && more) {
		if (!wire_read(wire, &more, error))
			return false;
		struct packet packet;
		bool broken = false;
		size_t len_bytes;
		const uint8_t *data;
		while ((data = wire_data(wire, &len_bytes)), packet_next(data, len_bytes, &packet, &broken)) {
			if (!sink_packet(wire, &packet))
				return false;
			wire_take(wire, packet.total_bytes);
		}
		if (broken)
			return false;
	}
	return wire_flush(wire, error);
}

static void sink_accept(const struct peer_options *options, int listener, int epoll, struct wire_tls *tls)
{
	for (;;) {
		struct error ignored;
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct wire *wire = malloc(sizeof(*wire));
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = wire};
		if (!wire || !wire_accept(wire, fd, tls, SINK_IN_BYTES, &ignored) ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
			abort();
	}
}

static int sink_listen(int port, struct error *error)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, SOMAXCONN) != 0)
		error_errno(error, errno, "cannot listen at port %d", port);
	return fd;
}

void peer_sink(const struct peer_options *options, struct error *error)
{
	struct wire_tls *tls = NULL;
	struct epoll_event events[EVENTS_MAX];
	if (options->cert_file && !(tls = wire_tls_server(options->cert_file, options->key_file, error)))
		return;
	int listener = sink_listen(options->port, error);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	if (listener < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
		return;
	atomic_store(&options->board->ready, true);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			struct wire *wire = events[i].data.ptr;
			struct error gone;
			if (!wire)
				sink_accept(options, listener, epoll, tls);
			else if (!sink_serve(wire, &gone))
				wire_close(wire);
		}
	}
}

// ---- watching ingest ----

static int64_t value_of(const char *text, const char *name)
{
	const char *found = strstr(text, name);
	return found ? (int64_t)strtod(found + strlen(name), NULL) : 0;
}

// Adds what this ingest has done.
static bool read_counts(int port, int64_t *rows, int64_t *transactions)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
	static char text[65536];
	size_t len_bytes = 0;
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		return false;
	for (ssize_t got; (got = recv(fd, text + len_bytes, sizeof(text) - 1 - len_bytes, 0)) > 0;)
		len_bytes += (size_t)got;
	text[len_bytes] = '\0';
	*rows += value_of(text, "\nmuster_ingest_rows_total ");
	*transactions += value_of(text, "\nmuster_ingest_batches_total ");
	return true;
}

void peer_watch(const struct peer_options *options, struct error *error)
{
	for (;;) {
		int64_t rows = 0;
		int64_t transactions = 0;
		bool known = true;
		for (size_t i = 0; i < PEER_WATCHED_MAX && options->watched[i] > 0; i++)
			known = read_counts(options->watched[i], &rows, &transactions) && known;
		if (known) {
			atomic_store(&options->board->transactions, transactions);
			atomic_store(&options->board->delivered, rows);
			atomic_store(&options->board->ready, true);
		}
		(void)poll(NULL, 0, WATCH_MS);
	}
}
