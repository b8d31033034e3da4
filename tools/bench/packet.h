// MQTT 5 packets, as few kinds as a load generator needs, built and read in place: a client library that keeps books
// for each message would be measured instead of the broker.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packet_type {
	PACKET_CONNECT = 1,
	PACKET_CONNACK = 2,
	PACKET_PUBLISH = 3,
	PACKET_PUBACK = 4,
	PACKET_SUBSCRIBE = 8,
	PACKET_SUBACK = 9,
	PACKET_PINGREQ = 12,
};

enum { PACKET_MAX_BYTES = 1024 }; // of those made here

struct packet {
	enum packet_type type;
	int qos;
	const uint8_t *body; // behind the fixed header
	size_t body_bytes;
	size_t total_bytes;
};

struct packet_publish {
	const char *topic;
	const char *response_topic; // NULL: none
	int qos;
	uint16_t mid; // QoS 1
	const char *payload;
	size_t payload_bytes;
};

// Each returns the bytes written to out, at most PACKET_MAX_BYTES.
size_t packet_connect(uint8_t *out, const char *client_id, const char *user, uint16_t receive_maximum);
size_t packet_connack(uint8_t *out);
size_t packet_subscribe(uint8_t *out, uint16_t mid, const char *filter, int qos);
size_t packet_suback(uint8_t *out, uint16_t mid);
size_t packet_publish(uint8_t *out, const struct packet_publish *publish);
size_t packet_puback(uint8_t *out, uint16_t mid);

// The first packet of the data; false while it is not whole. *broken: not MQTT.
bool packet_next(const uint8_t *data, size_t len_bytes, struct packet *out, bool *broken);
// Topic, packet identifier and payload of a PUBLISH.
struct packet_message {
	const uint8_t *topic;
	size_t topic_bytes;
	uint16_t mid; // 0: QoS 0
	const uint8_t *payload;
	size_t payload_bytes;
};
bool packet_read_publish(const struct packet *packet, struct packet_message *out);
uint16_t packet_mid(const struct packet *packet); // of PUBACK, SUBSCRIBE, SUBACK
// The reason code of CONNACK, or the first one of SUBACK; 0xff when the packet is too short.
int packet_reason(const struct packet *packet);
