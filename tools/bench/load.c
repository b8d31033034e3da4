#include "tools/bench/load.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "tools/bench/packet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define CONNECT_TIMEOUT_MS 120000
#define ANSWER_TIMEOUT_MS 30000
#define OPENING_MAX 200	      // connections between connect and SUBACK: the broker's listen queue is short
#define IN_BYTES ((size_t)2048)
#define UNACKED_MAX 50	      // of one connection
#define BURST_MAX 8	      // messages a connection sends at once while it may send as many as are taken
#define PROBES_PER_S 500      // messages with a measured answer, at most every second one
#define PROBES_WAITING 16     // of one connection
#define SAMPLES_MAX ((size_t)1 << 20)
#define EVENTS_MAX 512

enum stage { CLOSED, OPENING, CONNECTING, SUBSCRIBING, READY };

struct probe {
	int64_t seq, due_ns;
};

struct device {
	struct wire wire;
	enum stage stage;
	bool watched_out;
	uint16_t mid;
	int unacked;
	int64_t seq;
	char topic[64], stored[64];
	char tail[224]; // what stays the same in its payload
	size_t tail_bytes;
	struct probe probes[PROBES_WAITING];
	unsigned probe_from, probe_count;
};

struct load {
	struct load_options options;
	struct device *devices;
	int epoll;
	char epoch[2 * 8 + 1];
	size_t opened, ready;
	size_t next; // whose turn it is
	int64_t published, acked;
	int64_t waiting; // probes
	float *samples;	 // ms
	size_t sample_count;
	int64_t second_ns; // for the time in the payload
	struct error failure;
};

static int64_t now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// ---- a device ----

static void init_device(struct device *device, size_t number)
{
	char name[LOAD_DEVICE_BYTES];
	(void)snprintf(name, sizeof(name), LOAD_DEVICE_FORMAT, number);
	(void)snprintf(device->topic, sizeof(device->topic), "fleet/v1/%s/telemetry", name);
	(void)snprintf(device->stored, sizeof(device->stored), "fleet/v1/%s/stored", name);
	int64_t mem_total = (int64_t)(2 + number % 7) * 1020054732;
	int64_t disk_total = (int64_t)(32 + number % 97) * 931135488;
	device->tail_bytes = (size_t)snprintf(
		device->tail, sizeof(device->tail),
		",\"charging\":%s,\"load1\":%zu.%02zu,\"mem_total\":%lld,\"mem_available\":%lld,\"disk_total\":%lld,"
		"\"disk_free\":%lld,\"network_type\":\"%s\",\"rssi_dbm\":-%zu,\"temperature_c\":%zu.5}",
		number % 3 ? "false" : "true", number % 4, number % 100, (long long)mem_total,
		(long long)(mem_total / 2), (long long)disk_total, (long long)(disk_total / 3),
		number % 2 ? "wifi" : "cellular", 50 + number % 40, 25 + number % 15);
	device->wire.fd = -1;
}

// As an agent whose outbox is new.
static void new_epoch(struct load *load)
{
	uint8_t random[8];
	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), load->epoch);
	for (size_t i = 0; i < load->options.connections; i++)
		load->devices[i].seq = 0;
}

static char *put_text(char *at, const char *text, size_t len_bytes)
{
	memcpy(at, text, len_bytes);
	return at + len_bytes;
}
#define PUT(at, literal) put_text(at, literal, sizeof(literal) - 1)

static char *put_int(char *at, int64_t value)
{
	char digits[20];
	size_t count = 0;
	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	while (count > 0)
		*at++ = digits[--count];
	return at;
}

static size_t write_payload(const struct load *load, const struct device *device, int64_t wall_ms, char *out)
{
	char *at = PUT(out, "{\"epoch\":\"");
	at = put_text(at, load->epoch, sizeof(load->epoch) - 1);
	at = PUT(at, "\",\"seq\":");
	at = put_int(at, device->seq);
	at = PUT(at, ",\"ts\":");
	at = put_int(at, wall_ms);
	at = PUT(at, ",\"battery_pct\":");
	at = put_int(at, 99 - device->seq / 64 % 90);
	at = PUT(at, ",\"cpu_pct\":");
	at = put_int(at, device->seq * 37 % 99);
	*at++ = '.';
	*at++ = (char)('0' + device->seq % 10);
	at = PUT(at, ",\"uptime_s\":");
	at = put_int(at, 86400 + device->seq * 30);
	at = put_text(at, device->tail, device->tail_bytes);
	return (size_t)(at - out);
}

static void send_message(struct load *load, struct device *device, int64_t wall_ms, const int64_t *due_ns)
{
	char payload[512];
	uint8_t packet[PACKET_MAX_BYTES];
	device->seq++;
	device->mid = device->mid == UINT16_MAX ? 1 : device->mid + 1;
	struct packet_publish publish = {
		.topic = device->topic,
		.qos = 1,
		.mid = device->mid,
		.payload = payload,
		.payload_bytes = write_payload(load, device, wall_ms, payload),
	};
	if (due_ns && device->probe_count < PROBES_WAITING) {
		unsigned at = (device->probe_from + device->probe_count++) % PROBES_WAITING;
		device->probes[at] = (struct probe){device->seq, *due_ns};
		publish.response_topic = device->stored;
		load->waiting++;
	}
	wire_put(&device->wire, packet, packet_publish(packet, &publish));
	device->unacked++;
	load->published++;
}

static bool flush(struct load *load, struct device *device)
{
	if (!wire_flush(&device->wire, &load->failure))
		return false;
	if (device->wire.wants_out == device->watched_out)
		return true;
	struct epoll_event event = {.events = EPOLLIN | (device->wire.wants_out ? EPOLLOUT : 0U), .data.ptr = device};
	device->watched_out = device->wire.wants_out;
	return epoll_ctl(load->epoll, EPOLL_CTL_MOD, device->wire.fd, &event) == 0 ||
	       error_errno(&load->failure, errno, "epoll");
}

// ---- what comes back ----

// {"epoch":"..","seq":N}
static int64_t read_mark(const struct packet_message *message)
{
	static const char name[] = "\"seq\":";
	const uint8_t *found = memmem(message->payload, message->payload_bytes, name, sizeof(name) - 1);
	int64_t mark = 0;
	if (!found)
		return 0;
	const uint8_t *end = message->payload + message->payload_bytes;
	for (const uint8_t *at = found + sizeof(name) - 1; at < end && *at >= '0' && *at <= '9'; at++)
		mark = mark * 10 + (*at - '0');
	return mark;
}

static void take_stored(struct load *load, struct device *device, const struct packet *packet)
{
	struct packet_message message;
	if (!packet_read_publish(packet, &message))
		return;
	int64_t mark = read_mark(&message);
	int64_t at_ns = device->probe_count > 0 ? now_ns() : 0;
	while (device->probe_count > 0 && device->probes[device->probe_from].seq <= mark) {
		const struct probe *probe = &device->probes[device->probe_from];
		if (load->sample_count < SAMPLES_MAX)
			load->samples[load->sample_count++] = (float)((double)(at_ns - probe->due_ns) / 1e6);
		device->probe_from = (device->probe_from + 1) % PROBES_WAITING;
		device->probe_count--;
		load->waiting--;
	}
}

static bool take_packet(struct load *load, struct device *device, const struct packet *packet)
{
	uint8_t answer[PACKET_MAX_BYTES];
	switch (packet->type) {
	case PACKET_CONNACK:
		if (packet_reason(packet) != 0)
			return error_set(&load->failure, ERROR_DENIED, "the broker refused %s: reason 0x%02x",
					 device->topic, (unsigned)packet_reason(packet));
		device->stage = SUBSCRIBING;
		wire_put(&device->wire, answer, packet_subscribe(answer, 1, device->stored, 0));
		return flush(load, device);
	case PACKET_SUBACK:
		device->stage = READY;
		load->ready++;
		return true;
	case PACKET_PUBACK:
		device->unacked--;
		load->acked++;
		return true;
	case PACKET_PUBLISH:
		take_stored(load, device, packet);
		return true;
	default:
		return error_set(&load->failure, ERROR_FAILED, "the broker sent a packet of type %d to %s",
				 (int)packet->type, device->topic);
	}
}

static bool receive(struct load *load, struct device *device)
{
	bool more = true;
	while (more) {
		if (!wire_read(&device->wire, &more, &load->failure))
			return error_prefix(&load->failure, "%s", device->topic);
		struct packet packet;
		bool broken = false;
		size_t len_bytes;
		const uint8_t *data;
		while ((data = wire_data(&device->wire, &len_bytes)), packet_next(data, len_bytes, &packet, &broken)) {
			if (!take_packet(load, device, &packet))
				return false;
			wire_take(&device->wire, packet.total_bytes);
		}
		if (broken)
			return error_set(&load->failure, ERROR_FAILED, "what the broker sent is not MQTT");
	}
	return true;
}

static void greet_broker(struct device *device)
{
	uint8_t packet[PACKET_MAX_BYTES];
	char name[LOAD_DEVICE_BYTES];
	size_t len_bytes = strcspn(device->topic + strlen("fleet/v1/"), "/");
	(void)snprintf(name, sizeof(name), "%.*s", (int)len_bytes, device->topic + strlen("fleet/v1/"));
	device->stage = CONNECTING;
	wire_put(&device->wire, packet, packet_connect(packet, name, name, UNACKED_MAX));
}

static bool serve(struct load *load, struct device *device, uint32_t events)
{
	if (!device->wire.greeted) {
		if (!wire_greet(&device->wire, &load->failure))
			return error_prefix(&load->failure, "%s", device->topic);
		if (device->wire.greeted)
			greet_broker(device);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && device->wire.greeted && !receive(load, device))
		return false;
	return flush(load, device);
}

// Waits at most timeout_ms for events, and handles them.
static bool turn(struct load *load, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(load->epoll, events, EVENTS_MAX, timeout_ms);
	if (count < 0 && errno != EINTR)
		return error_errno(&load->failure, errno, "epoll");
	for (int i = 0; i < count; i++)
		if (!serve(load, events[i].data.ptr, events[i].events))
			return false;
	return true;
}

// ---- connecting ----

static bool open_one(struct load *load)
{
	const struct load_options *options = &load->options;
	size_t number = load->opened++;
	struct device *device = &load->devices[number];
	const char *pem = options->tls ? options->certificate(options->user, number) : NULL;
	device->stage = OPENING;
	if (!wire_connect(&device->wire, options->port, options->tls, pem, IN_BYTES, &load->failure))
		return false;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = device};
	device->watched_out = true;
	return epoll_ctl(load->epoll, EPOLL_CTL_ADD, device->wire.fd, &event) == 0 ||
	       error_errno(&load->failure, errno, "epoll");
}

static bool open_all(struct load *load)
{
	int64_t deadline_ms = clock_mono_ms() + CONNECT_TIMEOUT_MS;
	while (load->ready < load->options.connections) {
		while (load->opened < load->options.connections && load->opened - load->ready < OPENING_MAX)
			if (!open_one(load))
				return false;
		if (!turn(load, 100))
			return false;
		if (clock_mono_ms() > deadline_ms)
			return error_set(&load->failure, ERROR_TIMEOUT, "%zu of %zu connections within %d s",
					 load->ready, load->options.connections, CONNECT_TIMEOUT_MS / 1000);
	}
	return true;
}

struct load *load_new(const struct load_options *options, struct error *error)
{
	struct load *load cleanup(load_free_cleanup) = calloc(1, sizeof(*load));
	if (load) {
		load->options = *options;
		load->epoll = epoll_create1(EPOLL_CLOEXEC);
		load->devices = calloc(options->connections, sizeof(*load->devices));
		load->samples = malloc(SAMPLES_MAX * sizeof(*load->samples));
	}
	if (!load || load->epoll < 0 || !load->devices || !load->samples) {
		error_errno(error, ENOMEM, "cannot make the load");
		return NULL;
	}
	new_epoch(load);
	for (size_t i = 0; i < options->connections; i++)
		init_device(&load->devices[i], i);
	if (open_all(load))
		return steal(load);
	if (error)
		*error = load->failure;
	return NULL;
}

void load_free(struct load *load)
{
	if (!load)
		return;
	for (size_t i = 0; load->devices && i < load->options.connections; i++)
		wire_close(&load->devices[i].wire);
	if (load->epoll >= 0)
		(void)close(load->epoll);
	free(load->devices);
	free(load->samples);
	free(load);
}

// ---- phases ----

static int64_t delivered(const struct load *load, const _Atomic int64_t *counter)
{
	return counter ? atomic_load(counter) : load->acked;
}

// As many as the limits let through, a few from each connection. False when something broke.
static bool push(struct load *load, const struct load_phase *phase, int64_t until, bool *any)
{
	size_t connections = load->options.connections;
	int64_t wall_ms = clock_wall_ms();
	int64_t room = phase->ahead_max - (load->published - delivered(load, phase->delivered));
	size_t burst = connections >= 1000 ? 1 : BURST_MAX;
	*any = false;
	for (size_t tried = 0; tried < connections && tried < EVENTS_MAX && room > 0; tried++) {
		struct device *device = &load->devices[load->next];
		load->next = (load->next + 1) % connections;
		if (device->wire.wants_out)
			continue;
		size_t sent = 0;
		for (; sent < burst && room > 0 && device->unacked < UNACKED_MAX && load->published < until;
		     sent++, room--)
			send_message(load, device, wall_ms, NULL);
		if (sent > 0 && !flush(load, device))
			return false;
		*any = *any || sent > 0;
	}
	return true;
}

static bool run_freely(struct load *load, const struct load_phase *phase, int64_t end_ns)
{
	int64_t until = phase->messages > 0 ? load->published + phase->messages : INT64_MAX;
	for (;;) {
		bool any;
		if (!push(load, phase, until, &any) || !turn(load, any ? 0 : 1))
			return false;
		if (phase->messages > 0 ? load->acked >= until : now_ns() >= end_ns)
			return true;
	}
}

// Every millisecond is a tick at which so many messages are due, whether or not the ones before were answered.
static bool run_paced(struct load *load, const struct load_phase *phase, int64_t start_ns, int64_t end_ns)
{
	const int64_t tick_ns = 1000000;
	int64_t every = (int64_t)(phase->rate / PROBES_PER_S);
	int64_t sent = 0;
	if (every < 2)
		every = 2;
	for (int64_t due_ns = start_ns; due_ns < end_ns; due_ns += tick_ns) {
		int64_t now = now_ns();
		while (now < due_ns) {
			struct timespec until = {.tv_nsec = due_ns - now};
			struct pollfd watch = {.fd = load->epoll, .events = POLLIN};
			if (ppoll(&watch, 1, &until, NULL) > 0 && !turn(load, 0))
				return false;
			now = now_ns();
		}
		int64_t goal = (int64_t)(phase->rate * (double)(due_ns - start_ns + tick_ns) / 1e9);
		int64_t wall_ms = clock_wall_ms();
		for (; sent < goal; sent++) {
			struct device *device = &load->devices[load->next];
			load->next = (load->next + 1) % load->options.connections;
			send_message(load, device, wall_ms, phase->answers && sent % every == 0 ? &due_ns : NULL);
			if (!flush(load, device))
				return false;
		}
		if (!turn(load, 0))
			return false;
	}
	return true;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a;
	float y = *(const float *)b;
	return (x > y) - (x < y);
}

static double share(const struct load *load, double part)
{
	return load->samples[(size_t)(part * (double)(load->sample_count - 1) + 0.5)];
}

static void sum_up(struct load *load, struct load_latency *out)
{
	*out = (struct load_latency){.samples = (int64_t)load->sample_count};
	if (load->sample_count == 0)
		return;
	qsort(load->samples, load->sample_count, sizeof(*load->samples), by_value);
	out->p50_ms = share(load, 0.50);
	out->p95_ms = share(load, 0.95);
	out->p99_ms = share(load, 0.99);
	out->max_ms = share(load, 1);
}

static bool await_answers(struct load *load)
{
	int64_t deadline_ms = clock_mono_ms() + ANSWER_TIMEOUT_MS;
	while (load->waiting > 0 && clock_mono_ms() < deadline_ms)
		if (!turn(load, 10))
			return false;
	return true;
}

// Those that never came must not be taken for answers of the next phase.
static void forget_probes(struct load *load)
{
	for (size_t i = 0; i < load->options.connections; i++)
		load->devices[i].probe_count = 0;
	load->waiting = 0;
}

bool load_run(struct load *load, const struct load_phase *phase, struct load_result *out, struct error *error)
{
	int64_t start_ns = now_ns();
	int64_t end_ns = start_ns + phase->duration_ms * 1000000;
	int64_t published = load->published;
	int64_t came = delivered(load, phase->delivered);
	load->sample_count = 0;
	bool ok = phase->rate > 0 ? run_paced(load, phase, start_ns, end_ns) : run_freely(load, phase, end_ns);
	out->elapsed_s = (double)(now_ns() - start_ns) / 1e9;
	out->published = load->published - published;
	out->delivered = delivered(load, phase->delivered) - came;
	ok = ok && (!phase->answers || await_answers(load));
	out->unanswered = load->waiting;
	sum_up(load, &out->latency);
	forget_probes(load);
	if (!ok && error)
		*error = load->failure;
	return ok;
}

bool load_drain(struct load *load, const _Atomic int64_t *counter, int timeout_ms, struct error *error)
{
	int64_t deadline_ms = clock_mono_ms() + timeout_ms;
	while (delivered(load, counter) < load->published) {
		if (clock_mono_ms() > deadline_ms)
			return error_set(error, ERROR_TIMEOUT, "%lld of %lld messages came out within %d s",
					 (long long)delivered(load, counter), (long long)load->published,
					 timeout_ms / 1000);
		if (!turn(load, 10)) {
			if (error)
				*error = load->failure;
			return false;
		}
	}
	return true;
}

bool load_restart(struct load *load, struct error *error)
{
	if (!load_drain(load, NULL, ANSWER_TIMEOUT_MS, error))
		return false;
	load->published = load->acked = 0;
	new_epoch(load);
	return true;
}

int64_t load_published(const struct load *load)
{
	return load->published;
}
