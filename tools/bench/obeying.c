#include "tools/bench/obeying.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/result_text.h"
#include "tools/bench/load.h"
#include "tools/bench/packet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define IN_BYTES ((size_t)8192)
#define OPENING_MAX 200 // between connect and SUBACK: the broker's listen queue is short
#define EVENTS_MAX 512
#define RECEIVE_MAX 20
#define CLAIMS_MAX_BYTES 2048
#define RESULT_MAX_BYTES ((size_t)640)

struct device {
	struct wire wire;
	bool subscribed, watched_out;
	uint16_t mid;
	int64_t seq;
	size_t number;
};

struct fleet {
	const struct obeying_options *options;
	struct device *devices;
	int epoll;
	size_t opened, ready;
	char epoch[17];
	struct buf payload; // of the result in the making
	struct error *error;
};

bool obeying_command_id(const char *jws, size_t jws_bytes, char out[37])
{
	static const char name[] = "\"jti\":\"";
	const char *first = memchr(jws, '.', jws_bytes);
	const char *payload = first ? first + 1 : NULL;
	const char *second = payload ? memchr(payload, '.', jws_bytes - (size_t)(payload - jws)) : NULL;
	uint8_t claims[CLAIMS_MAX_BYTES];
	size_t bytes = 0;
	if (!second || !crypto_base64url_decode(payload, (size_t)(second - payload), claims, sizeof(claims), &bytes))
		return false;
	const char *found = memmem(claims, bytes, name, sizeof(name) - 1);
	if (!found || (const char *)claims + bytes - found < (ptrdiff_t)sizeof(name) - 1 + 36)
		return false;
	memcpy(out, found + sizeof(name) - 1, 36);
	out[36] = '\0';
	return true;
}

static void name_of(size_t number, char out[LOAD_DEVICE_BYTES])
{
	(void)snprintf(out, LOAD_DEVICE_BYTES, LOAD_DEVICE_FORMAT, number);
}

static bool flush(struct fleet *fleet, struct device *device)
{
	if (!wire_flush(&device->wire, fleet->error))
		return false;
	if (device->wire.wants_out == device->watched_out)
		return true;
	struct epoll_event event = {.events = EPOLLIN | (device->wire.wants_out ? EPOLLOUT : 0U), .data.ptr = device};
	device->watched_out = device->wire.wants_out;
	return epoll_ctl(fleet->epoll, EPOLL_CTL_MOD, device->wire.fd, &event) == 0 ||
	       error_errno(fleet->error, errno, "epoll");
}

// rest: the state, and what follows it.
static bool answer(struct fleet *fleet, struct device *device, const char *command, const char *rest)
{
	char name[LOAD_DEVICE_BYTES];
	char topic[TOPIC_MAX_BYTES];
	struct buf *payload = &fleet->payload;
	uint8_t packet[PACKET_MAX_BYTES];
	name_of(device->number, name);
	(void)snprintf(topic, sizeof(topic), "fleet/v1/%s/result", name);
	device->mid = device->mid == UINT16_MAX ? 1 : device->mid + 1;
	buf_clear(payload);
	(void)buf_addf(payload, "{\"epoch\":\"%s\",\"seq\":%lld,\"ts\":%lld,\"command\":\"%s\",\"state\":%s",
		       fleet->epoch, (long long)++device->seq, (long long)clock_wall_ms(), command, rest);
	if (fleet->options->key && !result_text_sign(fleet->options->key, name, payload, fleet->error))
		return false;
	if (!buf_add_str(payload, "}"))
		return error_set(fleet->error, ERROR_LIMIT, "a result is too large");
	const struct packet_publish publish = {.topic = topic,
					       .qos = 1,
					       .mid = device->mid,
					       .payload = buf_str(payload),
					       .payload_bytes = payload->len_bytes};
	wire_put(&device->wire, packet, packet_publish(packet, &publish));
	return true;
}

static bool obey(struct fleet *fleet, struct device *device, const struct packet *packet)
{
	struct packet_message message;
	uint8_t puback[PACKET_MAX_BYTES];
	char id[37];
	if (!packet_read_publish(packet, &message) ||
	    !obeying_command_id((const char *)message.payload, message.payload_bytes, id))
		return error_set(fleet->error, ERROR_FAILED, "a device was sent what is no command");
	wire_put(&device->wire, puback, packet_puback(puback, message.mid));
	return answer(fleet, device, id, "\"accepted\"") &&
	       answer(fleet, device, id, "\"succeeded\",\"output\":{\"pong\":true,\"uptime_s\":86400}");
}

static bool take_packet(struct fleet *fleet, struct device *device, const struct packet *packet)
{
	uint8_t subscribe[PACKET_MAX_BYTES];
	char name[LOAD_DEVICE_BYTES];
	char topic[TOPIC_MAX_BYTES];
	switch (packet->type) {
	case PACKET_CONNACK:
		if (packet_reason(packet) != 0)
			return error_set(fleet->error, ERROR_DENIED, "the broker refused device %zu: reason 0x%02x",
					 device->number, (unsigned)packet_reason(packet));
		name_of(device->number, name);
		(void)snprintf(topic, sizeof(topic), "fleet/v1/%s/command", name);
		wire_put(&device->wire, subscribe, packet_subscribe(subscribe, 1, topic, 1));
		return true;
	case PACKET_SUBACK:
		fleet->ready++;
		return true;
	case PACKET_PUBLISH:
		return obey(fleet, device, packet);
	default: // PUBACK
		return true;
	}
}

static bool receive(struct fleet *fleet, struct device *device)
{
	bool more = true;
	while (more) {
		struct packet packet;
		bool broken = false;
		size_t len_bytes = 0;
		const uint8_t *data = NULL;
		if (!wire_read(&device->wire, &more, fleet->error))
			return error_prefix(fleet->error, "device %zu", device->number);
		while ((data = wire_data(&device->wire, &len_bytes)), packet_next(data, len_bytes, &packet, &broken)) {
			if (!take_packet(fleet, device, &packet))
				return false;
			wire_take(&device->wire, packet.total_bytes);
		}
		if (broken)
			return error_set(fleet->error, ERROR_FAILED, "what the broker sent is not MQTT");
	}
	return true;
}

static bool serve(struct fleet *fleet, struct device *device, uint32_t events)
{
	if (!device->wire.greeted) {
		uint8_t connect[PACKET_MAX_BYTES];
		char name[LOAD_DEVICE_BYTES];
		if (!wire_greet(&device->wire, fleet->error))
			return error_prefix(fleet->error, "device %zu", device->number);
		name_of(device->number, name);
		if (device->wire.greeted)
			wire_put(&device->wire, connect, packet_connect(connect, name, name, RECEIVE_MAX));
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && device->wire.greeted && !receive(fleet, device))
		return false;
	return flush(fleet, device);
}

static bool open_one(struct fleet *fleet)
{
	struct device *device = &fleet->devices[fleet->opened];
	device->number = fleet->opened++;
	device->mid = 1;
	if (!wire_connect(&device->wire, fleet->options->port, fleet->options->tls,
			  fleet->options->certificate(fleet->options->user, device->number), IN_BYTES, fleet->error))
		return false;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = device};
	device->watched_out = true;
	return epoll_ctl(fleet->epoll, EPOLL_CTL_ADD, device->wire.fd, &event) == 0 ||
	       error_errno(fleet->error, errno, "epoll");
}

static bool turn(struct fleet *fleet)
{
	struct epoll_event events[EVENTS_MAX];
	while (fleet->opened < fleet->options->devices && fleet->opened - fleet->ready < OPENING_MAX) {
		if (!open_one(fleet))
			return false;
	}
	int count = epoll_wait(fleet->epoll, events, EVENTS_MAX, 1000);
	if (count < 0 && errno != EINTR)
		return error_errno(fleet->error, errno, "epoll");
	for (int i = 0; i < count; i++) {
		if (!serve(fleet, events[i].data.ptr, events[i].events))
			return false;
	}
	return true;
}

void obeying_run(const struct obeying_options *options, struct error *error)
{
	struct fleet fleet = {.options = options, .error = error};
	uint8_t random[8];
	buf_init(&fleet.payload, RESULT_MAX_BYTES);
	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), fleet.epoch);
	fleet.epoll = epoll_create1(EPOLL_CLOEXEC);
	fleet.devices = calloc(options->devices, sizeof(*fleet.devices));
	for (size_t i = 0; fleet.devices && i < options->devices; i++)
		fleet.devices[i].wire.fd = -1;
	while (fleet.epoll >= 0 && fleet.devices && turn(&fleet)) {
		if (fleet.ready == options->devices)
			atomic_store(options->ready, true);
	}
	for (size_t i = 0; fleet.devices && i < options->devices; i++)
		wire_close(&fleet.devices[i].wire);
	free(fleet.devices);
	buf_done(&fleet.payload);
	if (fleet.epoll >= 0)
		(void)close(fleet.epoll);
}
