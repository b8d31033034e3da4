// What the tests of common/mqtt.h connect with: a client that keeps what its handlers hear, and a peer in the broker's
// place that sends byte by byte what the test says.
#pragma once

#include "common/mqtt.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/broker.h"

#include <poll.h>

struct client {
	struct mqtt *mqtt;
	int connects;
	bool session_present;
	int disconnects;
	struct error reason;
	int pubacks;
	int puback_mid;
	int puback_code;
	int subacks;
	int suback_code;
	size_t messages;
	char topic[64];
	char payload[64];
	char response_topic[64];
	char correlation[16];
	char request_id[64];
	bool retain;
	const char *filter; // subscribed to at each CONNACK
};

static void on_connect(void *user, bool session_present)
{
	struct client *client = user;
	struct error error = {0};
	client->connects++;
	client->session_present = session_present;
	if (client->filter && !mqtt_subscribe(client->mqtt, client->filter, 1, &error))
		fail_msg("%s", error.what);
}

static void on_disconnect(void *user, const struct error *error)
{
	struct client *client = user;
	client->disconnects++;
	client->reason = *error;
}

static void keep(char *out, size_t out_bytes, const void *from, size_t len_bytes)
{
	(void)snprintf(out, out_bytes, "%.*s", (int)len_bytes, from ? (const char *)from : "");
}

static void on_message(void *user, const struct mqtt_message *message)
{
	struct client *client = user;
	client->messages++;
	keep(client->topic, sizeof(client->topic), message->topic, strlen(message->topic));
	keep(client->payload, sizeof(client->payload), message->payload, message->payload_bytes);
	keep(client->response_topic, sizeof(client->response_topic), message->response_topic,
	     message->response_topic ? strlen(message->response_topic) : 0);
	keep(client->correlation, sizeof(client->correlation), message->correlation, message->correlation_bytes);
	keep(client->request_id, sizeof(client->request_id), message->request_id,
	     message->request_id ? strlen(message->request_id) : 0);
	client->retain = message->retain;
}

static void on_puback(void *user, int mid, int reason_code)
{
	struct client *client = user;
	client->pubacks++;
	client->puback_mid = mid;
	client->puback_code = reason_code;
}

static void on_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	struct client *client = user;
	client->subacks++;
	client->suback_code = count == 1 ? reason_codes[0] : -1;
}

static const struct mqtt_handlers handlers = {on_connect, on_disconnect, on_message, on_puback, on_suback};

static struct mqtt_options plain(const char *client_id, int port)
{
	return (struct mqtt_options){
		.host = "127.0.0.1",
		.port = port,
		.client_id = client_id,
		.keepalive_s = 60,
		.clean_start = true,
		.receive_maximum = 5000,
	};
}

static void client_open(struct client *client, const struct mqtt_options *options)
{
	struct error error = {0};
	client->mqtt = mqtt_new(options, &handlers, client, &error);
	if (!client->mqtt)
		fail_msg("%s", error.what);
}

static void client_close(struct client *client)
{
	mqtt_free(client->mqtt);
	*client = (struct client){0};
}

// One turn of the loop in mqtt.h, with the write left out if told so.
static size_t turn(struct client *client, size_t batch, bool write)
{
	struct pollfd watch = {.fd = mqtt_fd(client->mqtt), .events = (short)mqtt_poll_events(client->mqtt)};
	int timeout_ms = mqtt_timeout_ms(client->mqtt);
	if (!write)
		watch.events &= (short)~POLLOUT;
	if (timeout_ms < 0 || timeout_ms > 50)
		timeout_ms = 50;
	(void)poll(&watch, watch.fd >= 0 ? 1 : 0, timeout_ms);
	size_t count = mqtt_read(client->mqtt, batch);
	if (write)
		mqtt_write(client->mqtt);
	mqtt_tick(client->mqtt);
	return count;
}

// Turns until the condition holds, or fails.
#define UNTIL(client, condition)                                                                                       \
	do {                                                                                                           \
		int64_t until_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;                                              \
		while (!(condition)) {                                                                                 \
			if (clock_mono_ms() > until_ms)                                                                \
				fail_msg("never came: %s (%s)", #condition, (client)->reason.what);                    \
			turn((client), 1000, true);                                                                    \
		}                                                                                                      \
	} while (0)

static void publish(struct client *client, const char *topic, const char *payload, int qos, bool retain)
{
	struct error error = {0};
	struct mqtt_publish message = {
		.topic = topic, .payload = payload, .payload_bytes = strlen(payload), .qos = qos, .retain = retain};
	if (!mqtt_publish(client->mqtt, &message, NULL, &error))
		fail_msg("%s", error.what);
}

// --- a broker of our own ---------------------------------------------------------------------------------------

struct peer {
	int listener;
	int port;
	int fd;
};

static struct peer peer_listen(void)
{
	struct peer peer = {.fd = -1};
	peer.listener = process_listen(&peer.port);
	return peer;
}

static void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		(void)close(peer->fd);
	if (peer->listener >= 0)
		(void)close(peer->listener);
}

static bool peer_readable(int fd)
{
	struct pollfd watch = {.fd = fd, .events = POLLIN};
	return poll(&watch, 1, 0) > 0;
}

static void peer_accept(struct peer *peer, struct client *client)
{
	UNTIL(client, peer_readable(peer->listener));
	peer->fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer->fd >= 0);
}

// Reads CONNECT into out and answers.
static size_t peer_greet_with(struct peer *peer, struct client *client, const unsigned char *connack,
			      size_t connack_bytes, unsigned char *out, size_t out_bytes)
{
	peer_accept(peer, client);
	UNTIL(client, peer_readable(peer->fd));
	ssize_t got = recv(peer->fd, out, out_bytes, 0);
	assert_true(got > 10);
	assert_int_equal(out[0], 0x10);
	assert_int_equal(send(peer->fd, connack, connack_bytes, 0), connack_bytes);
	UNTIL(client, client->connects == 1);
	return (size_t)got;
}

static size_t peer_greet(struct peer *peer, struct client *client, unsigned char *out, size_t out_bytes)
{
	static const unsigned char connack[] = {0x20, 0x03, 0x00, 0x00, 0x00};
	return peer_greet_with(peer, client, connack, sizeof(connack), out, out_bytes);
}

static void peer_publish(struct peer *peer, int count)
{
	for (int i = 1; i <= count; i++) {
		unsigned char packet[] = {0x32, 0x07, 0x00, 0x01, 't', (unsigned char)(i >> 8), (unsigned char)i,
					  0x00, 'x'};
		assert_int_equal(send(peer->fd, packet, sizeof(packet), 0), sizeof(packet));
	}
}

// --- tests -----------------------------------------------------------------------------------------------------
