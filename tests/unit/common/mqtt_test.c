#include "common/mqtt.h"
#include "common/limits.h"
#include "common/pki.h"
#include "common/tls.h"
#include "tests/unit/common/connecting.h"

#include <pthread.h>
#include <stdatomic.h>

// Against a real broker, and against a listener here that speaks just enough MQTT to see what is on the wire.

static struct broker broker;

static void test_nothing_leaves_before_write(void **state)
{
	enum { COUNT = 300 };
	struct peer peer = peer_listen();
	struct client client = {0};
	unsigned char bytes[2048];
	struct mqtt_options options = plain("waits", peer.port);
	client_open(&client, &options);
	peer_greet(&peer, &client, bytes, sizeof(bytes));

	peer_publish(&peer, COUNT);
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (client.messages < COUNT && clock_mono_ms() < deadline_ms)
		turn(&client, 1000, false);
	assert_int_equal(client.messages, COUNT);
	publish(&client, "stored", "1", 0, false);
	publish(&client, "other", "2", 1, false);
	mqtt_tick(client.mqtt);
	assert_true(mqtt_poll_events(client.mqtt) & POLLOUT);
	assert_int_equal(recv(peer.fd, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);

	mqtt_write(client.mqtt);
	size_t pubacks = 0;
	size_t got = 0;
	size_t expected = COUNT * 4 + 2 + 2 + 6 + 1 + 1 + 2 + 2 + 5 + 2 + 1 + 1;
	while (got < expected && clock_mono_ms() < deadline_ms) {
		ssize_t more = recv(peer.fd, bytes + got, sizeof(bytes) - got, 0);
		assert_true(more > 0);
		got += (size_t)more;
	}
	assert_int_equal(got, expected);
	for (size_t i = 0; i < COUNT; i++)
		pubacks += bytes[i * 4] == 0x40 && bytes[i * 4 + 1] == 2;
	assert_int_equal(pubacks, COUNT);
	assert_int_equal(mqtt_poll_events(client.mqtt), POLLIN);
	client_close(&client);
	peer_close(&peer);
}

static void test_batch_is_bounded(void **state)
{
	struct peer peer = peer_listen();
	struct client client = {0};
	unsigned char bytes[256];
	struct mqtt_options options = plain("batch", peer.port);
	client_open(&client, &options);
	peer_greet(&peer, &client, bytes, sizeof(bytes));
	peer_publish(&peer, 25);

	size_t sizes[3] = {0};
	for (int i = 0; i < 3; i++) {
		struct pollfd watch = {.fd = mqtt_fd(client.mqtt), .events = POLLIN};
		assert_int_equal(poll(&watch, 1, PROCESS_DEADLINE_MS), 1);
		sizes[i] = mqtt_read(client.mqtt, 10);
		if (i < 2)
			assert_int_equal(mqtt_timeout_ms(client.mqtt), 0); // there may be more than poll can see
	}
	assert_int_equal(sizes[0], 10);
	assert_int_equal(sizes[1], 10);
	assert_int_equal(sizes[2], 5);
	assert_true(mqtt_timeout_ms(client.mqtt) > 0);
	client_close(&client);
	peer_close(&peer);
}

static bool holds(const unsigned char *bytes, size_t len_bytes, const unsigned char *part, size_t part_bytes)
{
	return memmem(bytes, len_bytes, part, part_bytes) != NULL;
}

static void test_connect_properties(void **state)
{
	static const unsigned char session_expiry[] = {0x11, 0xff, 0xff, 0xff, 0xff};
	static const unsigned char receive_maximum[] = {0x21, 0x13, 0x88};
	struct client client = {0};
	unsigned char bytes[256];
	struct peer peer = peer_listen();
	struct mqtt_options options = plain("properties", peer.port);
	options.session_expiry_s = UINT32_MAX;
	options.clean_start = false;
	options.connect_timeout_ms = 5000;
	client_open(&client, &options);
	size_t len_bytes = peer_greet(&peer, &client, bytes, sizeof(bytes));
	assert_true(holds(bytes, len_bytes, session_expiry, sizeof(session_expiry)));
	assert_true(holds(bytes, len_bytes, receive_maximum, sizeof(receive_maximum)));
	assert_int_equal(bytes[9] & 0x02, 0); // clean start
	assert_int_equal(fcntl(mqtt_fd(client.mqtt), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

	// The same at a reconnect.
	(void)close(peer.fd);
	UNTIL(&client, client.disconnects == 1);
	assert_int_equal(client.reason.kind, ERROR_UNREACHABLE);
	client.connects = 0;
	len_bytes = peer_greet(&peer, &client, bytes, sizeof(bytes));
	assert_true(holds(bytes, len_bytes, session_expiry, sizeof(session_expiry)));
	assert_true(holds(bytes, len_bytes, receive_maximum, sizeof(receive_maximum)));
	client_close(&client);
	peer_close(&peer);
}

static void test_silent_peer_times_out(void **state)
{
	struct peer peer = peer_listen();
	struct client client = {0};
	struct mqtt_options options = plain("silent", peer.port);
	options.connect_timeout_ms = 200;
	client_open(&client, &options);
	peer_accept(&peer, &client);
	UNTIL(&client, client.disconnects == 1);
	assert_int_equal(client.reason.kind, ERROR_TIMEOUT);
	assert_int_equal(mqtt_fd(client.mqtt), -1);
	client_close(&client);
	peer_close(&peer);
}

static void test_keepalive(void **state)
{
	static const unsigned char pingresp[] = {0xd0, 0x00};
	struct peer peer = peer_listen();
	struct client client = {0};
	unsigned char bytes[256];
	struct mqtt_options options = plain("keepalive", peer.port);
	options.keepalive_s = 5;
	client_open(&client, &options);
	peer_greet(&peer, &client, bytes, sizeof(bytes));

	// PINGREQ is only queued by mqtt_tick...
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!(mqtt_poll_events(client.mqtt) & POLLOUT) && clock_mono_ms() < deadline_ms)
		turn(&client, 10, false);
	assert_true(mqtt_poll_events(client.mqtt) & POLLOUT);
	assert_false(peer_readable(peer.fd));
	// ... and leaves with mqtt_write.
	turn(&client, 10, true);
	assert_int_equal(recv(peer.fd, bytes, sizeof(bytes), 0), 2);
	assert_int_equal(bytes[0], 0xc0);
	assert_int_equal(send(peer.fd, pingresp, sizeof(pingresp), 0), 2);
	// Unanswered, it ends the connection.
	UNTIL(&client, peer_readable(peer.fd));
	assert_int_equal(client.disconnects, 0);
	UNTIL(&client, client.disconnects == 1);
	assert_int_equal(client.reason.kind, ERROR_TIMEOUT);
	client_close(&client);
	peer_close(&peer);
}

// For a caller that may not write yet: PINGREQ alone, when half of the keepalive is over, and everything else stays.
static void test_ping_past_the_queue(void **state)
{
	static const unsigned char connack[] = {0x20, 0x06, 0x00, 0x00,
						0x03, 0x13, 0x00, 0x02}; // server keep alive: 2 s
	struct peer peer = peer_listen();
	struct client client = {0};
	unsigned char bytes[256];
	struct mqtt_options options = plain("ping", peer.port);
	client_open(&client, &options);
	int64_t began_ms = clock_mono_ms();
	peer_greet_with(&peer, &client, connack, sizeof(connack), bytes, sizeof(bytes));
	peer_publish(&peer, 3);
	while (client.messages < 3 && clock_mono_ms() - began_ms < PROCESS_DEADLINE_MS)
		turn(&client, 10, false);
	while (!peer_readable(peer.fd) && clock_mono_ms() - began_ms < PROCESS_DEADLINE_MS) {
		mqtt_ping(client.mqtt);
		process_pause();
	}
	assert_true(clock_mono_ms() - began_ms >= 1000);
	assert_int_equal(recv(peer.fd, bytes, sizeof(bytes), MSG_DONTWAIT), 2);
	assert_int_equal(bytes[0], 0xc0);
	assert_int_equal(bytes[1], 0x00);
	mqtt_ping(client.mqtt); // not again so soon
	assert_false(peer_readable(peer.fd));
	mqtt_write(client.mqtt);
	assert_int_equal(recv(peer.fd, bytes, sizeof(bytes), 0), 3 * 4);
	client_close(&client);
	peer_close(&peer);
}

// As of a process that was stopped: TCP takes what is sent, and nobody answers. The session is left alone.
static void test_a_broker_that_does_not_answer_is_silent(void **state)
{
	static const unsigned char pingresp[] = {0xd0, 0x00};
	struct peer peer = peer_listen();
	struct client client = {0};
	unsigned char bytes[256];
	struct mqtt_options options = plain("watched", peer.port);
	options.silent_ms = 500;
	client_open(&client, &options);
	peer_greet(&peer, &client, bytes, sizeof(bytes));
	assert_false(mqtt_silent(client.mqtt));
	UNTIL(&client, mqtt_silent(client.mqtt));
	assert_int_equal(recv(peer.fd, bytes, sizeof(bytes), MSG_DONTWAIT), 2); // it was asked, once
	assert_int_equal(bytes[0], 0xc0);
	assert_int_equal(client.disconnects, 0);
	// What has come is heard, also by a caller that may not read it yet.
	assert_int_equal(send(peer.fd, pingresp, sizeof(pingresp), 0), 2);
	struct pollfd watch = {.fd = mqtt_fd(client.mqtt), .events = POLLIN};
	assert_int_equal(poll(&watch, 1, PROCESS_DEADLINE_MS), 1);
	mqtt_tick(client.mqtt);
	assert_false(mqtt_silent(client.mqtt));
	turn(&client, 10, true);
	assert_int_equal(client.disconnects, 0);
	client_close(&client);
	peer_close(&peer);
}

static void test_refused_connection_backs_off(void **state)
{
	struct client client = {0};
	struct mqtt_options options = plain("refused", process_free_port());
	client_open(&client, &options);
	UNTIL(&client, client.disconnects == 3);
	assert_int_equal(client.reason.kind, ERROR_UNREACHABLE);
	assert_true(mqtt_timeout_ms(client.mqtt) <= 30000);
	struct error error = {0};
	struct mqtt_publish message = {.topic = "t", .qos = 1};
	assert_false(mqtt_publish(client.mqtt, &message, NULL, &error));
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_false(mqtt_subscribe(client.mqtt, "t", 1, &error));
	client_close(&client);
}

static void test_name_with_two_families(void **state)
{
	struct client client = {0};
	struct mqtt_options options = plain("families", broker.port);
	options.host = "localhost"; // also ::1 on most machines, where the broker does not listen
	client_open(&client, &options);
	UNTIL(&client, client.connects == 1);
	client_close(&client);
}

static void test_message_and_properties(void **state)
{
	struct client client = {.filter = "mqtt/properties"};
	struct mqtt_options options = plain("properties", broker.port);
	struct error error = {0};
	int mid = 0;
	client_open(&client, &options);
	UNTIL(&client, client.subacks == 1);
	assert_int_equal(client.suback_code, 1);

	struct mqtt_publish message = {.topic = "mqtt/properties",
				       .payload = "hello",
				       .payload_bytes = 5,
				       .qos = 1,
				       .response_topic = "answer/here",
				       .correlation = "c\0d",
				       .correlation_bytes = 3,
				       .request_id = "request-1"};
	assert_true(mqtt_publish(client.mqtt, &message, &mid, &error));
	UNTIL(&client, client.pubacks == 1 && client.messages == 1);
	assert_int_equal(client.puback_mid, mid);
	assert_int_equal(client.puback_code, 0);
	assert_string_equal(client.topic, "mqtt/properties");
	assert_string_equal(client.payload, "hello");
	assert_string_equal(client.response_topic, "answer/here");
	assert_string_equal(client.correlation, "c");
	assert_string_equal(client.request_id, "request-1");
	assert_false(client.retain);

	// Nobody listens there; and QoS 0 has no PUBACK.
	publish(&client, "mqtt/properties", "quiet", 0, false);
	publish(&client, "mqtt/nobody", "x", 1, false);
	UNTIL(&client, client.pubacks == 2 && client.messages == 2);
	assert_int_equal(client.puback_code, 0x10);
	assert_string_equal(client.payload, "quiet");
	assert_string_equal(client.request_id, "");

	message.topic = "with/#";
	assert_false(mqtt_publish(client.mqtt, &message, NULL, &error));
	assert_int_equal(error.kind, ERROR_INVALID);

	// The broker would end the session at it, and again at each repetition.
	static const char *const malformed[] = {"a\nb", "\x7f", "\xc2\x85", "\xff"};
	message.topic = "mqtt/properties";
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		message.request_id = malformed[i];
		assert_false(mqtt_publish(client.mqtt, &message, NULL, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
	}
	publish(&client, "mqtt/properties", "after", 1, false);
	UNTIL(&client, client.pubacks == 3);
	assert_string_equal(client.payload, "after");
	assert_int_equal(client.disconnects, 0);
	client_close(&client);
}

static void test_unacknowledged_comes_back(void **state)
{
	struct client sender = {0};
	struct client client = {.filter = "mqtt/again"};
	struct mqtt_options sender_options = plain("sender", broker.port);
	struct mqtt_options options = plain("again", broker.port);
	options.clean_start = false;
	options.session_expiry_s = UINT32_MAX;
	client_open(&sender, &sender_options);
	client_open(&client, &options);
	UNTIL(&client, client.subacks == 1);
	UNTIL(&sender, sender.connects == 1);
	for (int i = 0; i < 100; i++)
		publish(&sender, "mqtt/again", "x", 1, false);
	UNTIL(&sender, sender.pubacks == 100);

	// Read, but never written: the broker still holds them.
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (client.messages < 100 && clock_mono_ms() < deadline_ms)
		turn(&client, 1000, false);
	assert_int_equal(client.messages, 100);
	client_close(&client);

	client.filter = "mqtt/again";
	client_open(&client, &options);
	UNTIL(&client, client.messages == 100);
	assert_true(client.session_present);
	mqtt_disconnect(client.mqtt, 5000); // a broker drops what it has not read of a broken connection
	client_close(&client);

	// Written this time: nothing comes back before the answer to something published now.
	client.filter = "mqtt/again";
	client_open(&client, &options);
	UNTIL(&client, client.connects == 1);
	publish(&client, "mqtt/again", "last", 1, false);
	UNTIL(&client, client.messages > 0);
	assert_string_equal(client.payload, "last");
	mqtt_disconnect(client.mqtt, 1000);
	client_close(&client);
	client_close(&sender);
}

static void test_connects_again_when_told(void **state)
{
	struct client client = {.filter = "mqtt/asleep"};
	struct mqtt_options options = plain("asleep", broker.port);
	options.clean_start = false;
	options.session_expiry_s = 3600;
	client_open(&client, &options);
	UNTIL(&client, client.subacks == 1);
	mqtt_connect_now(client.mqtt); // there is a connection: nothing happens
	for (int round = 1; round <= 3; round++) {
		mqtt_disconnect(client.mqtt, 5000);
		assert_int_equal(mqtt_timeout_ms(client.mqtt), -1);
		mqtt_connect_now(client.mqtt);
		UNTIL(&client, client.connects == 1 + round);
		assert_true(client.session_present);
		publish(&client, "mqtt/asleep", "awake", 1, false);
		// The broker delivers before it acknowledges: what is not acknowledged would be sent, and come, once more.
		UNTIL(&client, client.messages == (size_t)round && client.pubacks == round);
	}
	assert_int_equal(client.disconnects, 0);
	client_close(&client);
}

static void test_resent_after_restart(void **state)
{
	struct client client = {.filter = "mqtt/restart"};
	struct mqtt_options options = plain("restart", broker.port);
	options.clean_start = false;
	options.session_expiry_s = 3600;
	client_open(&client, &options);
	UNTIL(&client, client.subacks == 1);
	broker_stop(&broker);
	publish(&client, "mqtt/restart", "kept", 1, false); // the connection still looks whole
	UNTIL(&client, client.disconnects > 0);
	assert_int_equal(client.reason.kind, ERROR_UNREACHABLE);
	assert_true(broker_start(&broker));
	UNTIL(&client, client.pubacks == 1 && client.messages == 1);
	assert_int_equal(client.connects, 2);
	assert_true(client.session_present);
	assert_string_equal(client.payload, "kept");
	client_close(&client);
}

static void will_case(const char *filter, const char *topic, const char *end, bool disconnect)
{
	struct client watcher = {.filter = filter};
	struct client client = {0};
	struct mqtt_options watcher_options = plain("watcher", broker.port);
	struct mqtt_options options = plain("mortal", broker.port);
	options.will_topic = topic;
	options.will_payload = "offline";
	client_open(&watcher, &watcher_options);
	UNTIL(&watcher, watcher.subacks == 1);
	client_open(&client, &options);
	UNTIL(&client, client.connects == 1);
	if (disconnect) {
		publish(&client, topic, "bye", 1, false); // leaves with DISCONNECT
		mqtt_disconnect(client.mqtt, 5000);
		assert_int_equal(mqtt_fd(client.mqtt), -1);
		assert_int_equal(mqtt_timeout_ms(client.mqtt), -1);
		assert_int_equal(client.disconnects, 0);
	}
	client_close(&client);
	// Everything of the dead session has come before this does.
	client_open(&client, &options);
	UNTIL(&client, client.connects == 1);
	publish(&client, end, "end", 1, false);
	UNTIL(&client, client.pubacks == 1);
	UNTIL(&watcher, strcmp(watcher.topic, end) == 0);
	assert_int_equal(watcher.messages, 2); // the will or "bye", and this
	mqtt_disconnect(client.mqtt, 5000);
	client_close(&client);
	client_close(&watcher);
}

static void test_will(void **state)
{
	will_case("killed/#", "killed/will", "killed/end", false);
	will_case("left/#", "left/will", "left/end", true);
}

// --- TLS -------------------------------------------------------------------------------------------------------

static void name_file(const char *folder, const char *name, char *path, size_t path_bytes)
{
	(void)snprintf(path, path_bytes, "%s/%s", folder, name);
}

struct tls_files {
	char ca[128], ca_key[128], server[128], server_key[128], client[128], client_key[128], other_ca[128];
};

static struct tls_files files;

static void issue(const struct pki_subject *subject, const char *cert_path, const char *key_path)
{
	struct error error = {0};
	struct pki_ca *ca = pki_ca_load(files.ca, files.ca_key, &error);
	assert_non_null(ca);
	assert_true(pki_key_create(key_path, &error));
	char *csr = pki_csr_create(key_path, subject->name, &error);
	assert_non_null(csr);
	char *pem = pki_issue(ca, csr, subject, NULL, &error);
	if (!pem)
		fail_msg("%s", error.what);
	assert_true(file_write(cert_path, pem, strlen(pem), 0600, &error));
	process_hand_over(cert_path);
	process_hand_over(key_path);
	free(pem);
	free(csr);
	pki_ca_free(ca);
}

static void make_certificates(const char *folder)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", NULL};
	struct error error = {0};
	char unused[128];
	name_file(folder, "ca.pem", files.ca, sizeof(files.ca));
	name_file(folder, "ca.key", files.ca_key, sizeof(files.ca_key));
	name_file(folder, "server.pem", files.server, sizeof(files.server));
	name_file(folder, "server.key", files.server_key, sizeof(files.server_key));
	name_file(folder, "client.pem", files.client, sizeof(files.client));
	name_file(folder, "client.key", files.client_key, sizeof(files.client_key));
	name_file(folder, "other.pem", files.other_ca, sizeof(files.other_ca));
	name_file(folder, "other.key", unused, sizeof(unused));
	assert_true(pki_ca_create(files.ca, files.ca_key, "Test CA", 30, &error));
	assert_true(pki_ca_create(files.other_ca, unused, "Other CA", 30, &error));
	process_hand_over(files.ca);
	issue(&(struct pki_subject){.profile = PKI_SERVER, .name = "127.0.0.1", .hosts = hosts, .lifetime_s = 86400},
	      files.server, files.server_key);
	issue(&(struct pki_subject){.profile = PKI_SERVICE, .name = "svc.test", .lifetime_s = 86400}, files.client,
	      files.client_key);
}

static struct mqtt_options over_tls(const char *client_id)
{
	struct mqtt_options options = plain(client_id, broker.tls_port);
	options.ca_file = files.ca;
	options.cert_file = files.client;
	options.key_file = files.client_key;
	return options;
}

// Small batches of many messages over TLS: what is left inside the TLS layer does not show on the socket.
static void test_tls_leaves_nothing_behind(void **state)
{
	enum { COUNT = 3000 };
	struct client sender = {0};
	struct client client = {.filter = "mqtt/tls"};
	struct mqtt_options sender_options = plain("tls-sender", broker.port);
	struct mqtt_options options = over_tls("tls");
	client_open(&sender, &sender_options);
	client_open(&client, &options);
	UNTIL(&client, client.subacks == 1);
	UNTIL(&sender, sender.connects == 1);
	for (int i = 0; i < COUNT; i++)
		publish(&sender, "mqtt/tls", "x", 1, false);
	UNTIL(&sender, sender.pubacks == COUNT);

	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (client.messages < COUNT && clock_mono_ms() < deadline_ms) {
		// Waits for ever where mqtt_timeout_ms allows it: a stall shows.
		struct pollfd watch = {.fd = mqtt_fd(client.mqtt), .events = (short)mqtt_poll_events(client.mqtt)};
		assert_true(poll(&watch, 1, mqtt_timeout_ms(client.mqtt) == 0 ? 0 : 5000) >= 0);
		assert_true(watch.revents || mqtt_timeout_ms(client.mqtt) == 0);
		(void)mqtt_read(client.mqtt, 3);
		mqtt_write(client.mqtt);
	}
	assert_int_equal(client.messages, COUNT);
	client_close(&client);
	client_close(&sender);
}

static void test_tls_ping_past_the_queue(void **state)
{
	struct client client = {0};
	struct mqtt_options options = over_tls("tls-ping");
	options.keepalive_s = 5;
	client_open(&client, &options);
	UNTIL(&client, client.connects == 1);
	publish(&client, "mqtt/waits", "x", 1, false);
	int64_t began_ms = clock_mono_ms();
	while (!peer_readable(mqtt_fd(client.mqtt)) && clock_mono_ms() - began_ms < PROCESS_DEADLINE_MS) {
		mqtt_ping(client.mqtt);
		process_pause();
	}
	assert_true(clock_mono_ms() - began_ms >= 2000); // PINGRESP, and nothing else:
	assert_int_equal(mqtt_read(client.mqtt, 10), 0);
	assert_int_equal(client.pubacks, 0);
	UNTIL(&client, client.pubacks == 1); // what comes after it is understood too
	assert_int_equal(client.disconnects, 0);
	client_close(&client);
}

static void test_tls_refuses_other_authority(void **state)
{
	struct client client = {0};
	struct mqtt_options options = over_tls("other");
	options.ca_file = files.other_ca;
	client_open(&client, &options);
	UNTIL(&client, client.disconnects == 1);
	assert_int_equal(client.connects, 0);
	assert_non_null(strstr(client.reason.what, "certificate verify failed"));
	client_close(&client);
}

static void test_tls_needs_a_certificate(void **state)
{
	struct client client = {0};
	struct mqtt_options options = over_tls("none");
	options.cert_file = NULL;
	options.key_file = NULL;
	client_open(&client, &options);
	UNTIL(&client, client.disconnects == 1);
	assert_int_equal(client.connects, 0);
	client_close(&client);

	struct error error = {0};
	options.ca_file = "/nonexistent/ca.pem";
	assert_null(mqtt_new(&options, &handlers, &client, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
}

static struct tls *from_memory(const char *host, const char *ca_file)
{
	struct error error = {0};
	char *key auto_free = file_read(files.client_key, PEM_MAX_BYTES, NULL, &error);
	char *certificate auto_free = file_read(files.client, PEM_MAX_BYTES, NULL, &error);
	char *ca auto_free = file_read(ca_file, PEM_MAX_BYTES, NULL, &error);
	const struct tls_credential credential = {.key = key, .certificate = certificate, .ca = ca};
	struct tls *tls = tls_new(host, &credential, &error);
	if (!tls)
		fail_msg("%s", error.what);
	return tls;
}

static void test_tls_from_memory(void **state)
{
	struct client client = {.filter = "mqtt/memory"};
	struct mqtt_options options = plain("memory", broker.tls_port);
	options.tls = from_memory("127.0.0.1", files.ca);
	client_open(&client, &options);
	UNTIL(&client, client.subacks == 1);
	publish(&client, "mqtt/memory", "x", 1, false);
	UNTIL(&client, client.messages == 1 && client.pubacks == 1);
	client_close(&client);
	tls_free(options.tls);
}

static void test_tls_from_memory_checks_the_name(void **state)
{
	static const char *const others[] = {"localhost.example", "127.0.0.2"};
	for (size_t i = 0; i < 2; i++) {
		struct client client = {0};
		struct mqtt_options options = plain("name", broker.tls_port);
		options.tls = from_memory(others[i], files.ca);
		client_open(&client, &options);
		UNTIL(&client, client.disconnects == 1);
		assert_int_equal(client.connects, 0);
		assert_non_null(strstr(client.reason.what, "certificate verify failed"));
		client_close(&client);
		tls_free(options.tls);
	}
}

// The same session, first with an authority that did not make the server's certificate.
static void test_tls_changes_for_the_next_connect(void **state)
{
	struct error error = {0};
	struct client client = {0};
	struct mqtt_options options = plain("change", broker.tls_port);
	options.tls = from_memory("127.0.0.1", files.other_ca);
	client_open(&client, &options);
	UNTIL(&client, client.disconnects == 1);
	assert_non_null(strstr(client.reason.what, "certificate verify failed"));

	char *key auto_free = file_read(files.client_key, PEM_MAX_BYTES, NULL, &error);
	char *certificate auto_free = file_read(files.client, PEM_MAX_BYTES, NULL, &error);
	char *ca auto_free = file_read(files.ca, PEM_MAX_BYTES, NULL, &error);
	const struct tls_credential good = {.key = key, .certificate = certificate, .ca = ca};
	assert_true(tls_set(options.tls, &good, &error));
	UNTIL(&client, client.connects == 1);
	client_close(&client);
	tls_free(options.tls);
}

// libmosquitto takes a reset for success at first.
static void test_tls_handshake_cut(void **state)
{
	struct peer peer = peer_listen();
	struct client client = {0};
	struct mqtt_options options = over_tls("cut");
	options.port = peer.port;
	client_open(&client, &options);
	peer_accept(&peer, &client);
	UNTIL(&client, peer_readable(peer.fd)); // ClientHello
	struct linger reset = {.l_onoff = 1};
	assert_int_equal(setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	(void)close(peer.fd);
	peer.fd = -1;
	int64_t start_ms = clock_mono_ms();
	UNTIL(&client, client.disconnects == 1);
	assert_true(clock_mono_ms() - start_ms < 10000);
	assert_int_equal(client.reason.kind, ERROR_UNREACHABLE);

	peer_accept(&peer, &client);
	(void)close(peer.fd); // in good order, this time
	peer.fd = -1;
	UNTIL(&client, client.disconnects == 2);
	client_close(&client);
	peer_close(&peer);
}

// On loopback the library swallows the refusal, and would go on writing ClientHello until the time is up.
static void test_tls_refused_connection(void **state)
{
	struct peer peer = peer_listen();
	struct client client = {0};
	struct mqtt_options options = over_tls("refused");
	options.port = peer.port;
	peer_close(&peer);
	client_open(&client, &options);
	int64_t start_ms = clock_mono_ms();
	UNTIL(&client, client.disconnects == 3);
	assert_true(clock_mono_ms() - start_ms < 10000);
	assert_int_equal(client.reason.kind, ERROR_UNREACHABLE);
	client_close(&client);
}

struct opener {
	atomic_bool stop;
	int refused;
};

static void *open_and_close(void *user)
{
	struct opener *opener = user;
	while (!atomic_load(&opener->stop)) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			opener->refused++;
		else
			(void)close(fd);
	}
	return NULL;
}

static void test_other_threads_keep_their_descriptors(void **state)
{
	enum { SESSIONS = 300 };
	struct opener opener = {.refused = 0};
	struct mqtt_options options = plain("beside", broker.port);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, open_and_close, &opener), 0);
	for (int i = 0; i < SESSIONS; i++) {
		struct client client = {0};
		client_open(&client, &options);
		client_close(&client);
	}
	atomic_store(&opener.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(opener.refused, 0);
}

static void test_bad_options(void **state)
{
	struct error error = {0};
	struct mqtt_options options = plain("x", 0);
	assert_null(mqtt_new(&options, &handlers, NULL, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	options = plain("", 1883);
	assert_null(mqtt_new(&options, &handlers, NULL, &error));
	options = plain("x", 1883);
	options.keepalive_s = 2;
	assert_null(mqtt_new(&options, &handlers, NULL, &error));
	mqtt_free(NULL);
}

static int setup(void **state)
{
	if (scratch_setup(state) != 0)
		return -1;
	mqtt_library_init();
	const struct scratch *scratch = *state;
	make_certificates(scratch->folder);
	return broker_init(&broker, scratch->folder, true) ? 0 : -1;
}

static int teardown(void **state)
{
	broker_stop(&broker);
	mqtt_library_cleanup();
	return scratch_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_other_threads_keep_their_descriptors),
		cmocka_unit_test(test_nothing_leaves_before_write),
		cmocka_unit_test(test_batch_is_bounded),
		cmocka_unit_test(test_connect_properties),
		cmocka_unit_test(test_silent_peer_times_out),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_ping_past_the_queue),
		cmocka_unit_test(test_a_broker_that_does_not_answer_is_silent),
		cmocka_unit_test(test_refused_connection_backs_off),
		cmocka_unit_test(test_name_with_two_families),
		cmocka_unit_test(test_message_and_properties),
		cmocka_unit_test(test_unacknowledged_comes_back),
		cmocka_unit_test(test_will),
		cmocka_unit_test(test_tls_leaves_nothing_behind),
		cmocka_unit_test(test_tls_ping_past_the_queue),
		cmocka_unit_test(test_tls_refuses_other_authority),
		cmocka_unit_test(test_tls_needs_a_certificate),
		cmocka_unit_test(test_tls_from_memory),
		cmocka_unit_test(test_tls_from_memory_checks_the_name),
		cmocka_unit_test(test_tls_changes_for_the_next_connect),
		cmocka_unit_test(test_tls_handshake_cut),
		cmocka_unit_test(test_tls_refused_connection),
		cmocka_unit_test(test_connects_again_when_told),
		cmocka_unit_test(test_resent_after_restart),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
