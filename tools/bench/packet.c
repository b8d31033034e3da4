// The format is MQTT 5.0, sections 2 and 3.
#include "tools/bench/packet.h"

#include <string.h>

enum {
	PROPERTY_RESPONSE_TOPIC = 0x08,
	PROPERTY_RECEIVE_MAXIMUM = 0x21,
	CONNECT_CLEAN_START = 0x02,
	CONNECT_USER_NAME = 0x80,
	KEEPALIVE_S = 600,
};

static uint8_t *put_u16(uint8_t *at, uint16_t value)
{
	*at++ = (uint8_t)(value >> 8);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
	size_t len_bytes = strlen(text);
	at = put_u16(at, (uint16_t)len_bytes);
	memcpy(at, text, len_bytes); // NOLINT(bugprone-not-null-terminated-result): it carries its length
	return at + len_bytes;
}

// The remaining length always takes two bytes: what is made here is between 2 and 16,383 bytes long, and a longer
// encoding than needed is for bodies under 128 bytes only, which go through put_short.
static size_t put_header(uint8_t *out, int first, size_t body_bytes)
{
	out[0] = (uint8_t)first;
	if (body_bytes < 128) {
		out[1] = (uint8_t)body_bytes;
		return 2;
	}
	out[1] = (uint8_t)(body_bytes & 0x7f) | 0x80;
	out[2] = (uint8_t)(body_bytes >> 7);
	return 3;
}

static size_t finish(uint8_t *out, int first, const uint8_t *body, size_t body_bytes)
{
	size_t header_bytes = put_header(out, first, body_bytes);
	memcpy(out + header_bytes, body, body_bytes);
	return header_bytes + body_bytes;
}

size_t packet_connect(uint8_t *out, const char *client_id, const char *user, uint16_t receive_maximum)
{
	uint8_t body[PACKET_MAX_BYTES];
	uint8_t *at = put_text(body, "MQTT");
	*at++ = 5;
	*at++ = CONNECT_CLEAN_START | (user ? CONNECT_USER_NAME : 0);
	at = put_u16(at, KEEPALIVE_S);
	*at++ = 3; // properties
	*at++ = PROPERTY_RECEIVE_MAXIMUM;
	at = put_u16(at, receive_maximum);
	at = put_text(at, client_id);
	if (user)
		at = put_text(at, user);
	return finish(out, PACKET_CONNECT << 4, body, (size_t)(at - body));
}

size_t packet_connack(uint8_t *out)
{
	static const uint8_t body[] = {0, 0, 0}; // no session, success, no properties
	return finish(out, PACKET_CONNACK << 4, body, sizeof(body));
}

size_t packet_subscribe(uint8_t *out, uint16_t mid, const char *filter, int qos)
{
	uint8_t body[PACKET_MAX_BYTES];
	uint8_t *at = put_u16(body, mid);
	*at++ = 0; // properties
	at = put_text(at, filter);
	*at++ = (uint8_t)qos;
	return finish(out, PACKET_SUBSCRIBE << 4 | 0x02, body, (size_t)(at - body));
}

size_t packet_suback(uint8_t *out, uint16_t mid)
{
	uint8_t body[4] = {(uint8_t)(mid >> 8), (uint8_t)mid, 0, 0};
	return finish(out, PACKET_SUBACK << 4, body, sizeof(body));
}

size_t packet_publish(uint8_t *out, const struct packet_publish *publish)
{
	size_t topic_bytes = strlen(publish->topic);
	size_t response_bytes = publish->response_topic ? strlen(publish->response_topic) : 0;
	size_t properties_bytes = publish->response_topic ? 3 + response_bytes : 0; // under 128
	size_t mid_bytes = publish->qos > 0 ? 2 : 0;
	size_t body_bytes = 2 + topic_bytes + mid_bytes + 1 + properties_bytes + publish->payload_bytes;
	uint8_t *at = out + put_header(out, PACKET_PUBLISH << 4 | publish->qos << 1, body_bytes);
	at = put_u16(at, (uint16_t)topic_bytes);
	memcpy(at, publish->topic, topic_bytes);
	at += topic_bytes;
	if (mid_bytes > 0)
		at = put_u16(at, publish->mid);
	*at++ = (uint8_t)properties_bytes;
	if (publish->response_topic) {
		*at++ = PROPERTY_RESPONSE_TOPIC;
		at = put_text(at, publish->response_topic);
	}
	memcpy(at, publish->payload, publish->payload_bytes);
	return (size_t)(at + publish->payload_bytes - out);
}

size_t packet_puback(uint8_t *out, uint16_t mid)
{
	out[0] = PACKET_PUBACK << 4;
	out[1] = 2;
	(void)put_u16(out + 2, mid);
	return 4;
}

static bool read_length(const uint8_t *data, size_t len_bytes, size_t *at, size_t *value, bool *broken)
{
	*value = 0;
	for (unsigned shift = 0; shift < 28; shift += 7) {
		if (*at == len_bytes)
			return false;
		uint8_t byte = data[(*at)++];
		*value |= (size_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	*broken = true;
	return false;
}

bool packet_next(const uint8_t *data, size_t len_bytes, struct packet *out, bool *broken)
{
	size_t at = 1;
	size_t body_bytes;
	if (len_bytes < 2 || !read_length(data, len_bytes, &at, &body_bytes, broken) || len_bytes - at < body_bytes)
		return false;
	out->type = (enum packet_type)(data[0] >> 4);
	out->qos = data[0] >> 1 & 3;
	out->body = data + at;
	out->body_bytes = body_bytes;
	out->total_bytes = at + body_bytes;
	return true;
}

static uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

bool packet_read_publish(const struct packet *packet, struct packet_message *out)
{
	bool broken = false;
	size_t properties_bytes;
	if (packet->body_bytes < 2)
		return false;
	out->topic_bytes = get_u16(packet->body);
	out->topic = packet->body + 2;
	size_t at = 2 + out->topic_bytes;
	out->mid = 0;
	if (packet->qos > 0) {
		if (at + 2 > packet->body_bytes)
			return false;
		out->mid = get_u16(packet->body + at);
		at += 2;
	}
	if (at > packet->body_bytes ||
	    !read_length(packet->body, packet->body_bytes, &at, &properties_bytes, &broken) ||
	    packet->body_bytes - at < properties_bytes)
		return false;
	out->payload = packet->body + at + properties_bytes;
	out->payload_bytes = packet->body_bytes - at - properties_bytes;
	return true;
}

uint16_t packet_mid(const struct packet *packet)
{
	return packet->body_bytes < 2 ? 0 : get_u16(packet->body);
}

int packet_reason(const struct packet *packet)
{
	if (packet->type == PACKET_CONNACK)
		return packet->body_bytes < 2 ? 0xff : packet->body[1];
	size_t at = 2;
	size_t properties_bytes;
	bool broken = false;
	if (packet->body_bytes < 3 || !read_length(packet->body, packet->body_bytes, &at, &properties_bytes, &broken) ||
	    at + properties_bytes >= packet->body_bytes)
		return 0xff;
	return packet->body[at + properties_bytes];
}
