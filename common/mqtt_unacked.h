// QoS 1 messages that wait for their PUBACK, which libmosquitto keeps, however many: counted by packet identifier, so
// that their number has a ceiling. It sends them again after a loss of the connection, so they go on counting.
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mqtt_unacked {
	size_t count, bytes; // of their payloads
	size_t count_max, bytes_max;
	uint32_t *by_mid; // 1 and the bytes of its payload; 0: none on its way
};

bool mqtt_unacked_init(struct mqtt_unacked *unacked, size_t count_max, size_t bytes_max, struct error *error);
void mqtt_unacked_done(struct mqtt_unacked *unacked);
bool mqtt_unacked_has_room(const struct mqtt_unacked *unacked, size_t payload_bytes);
// mid: as mqtt_publish gave it.
void mqtt_unacked_sent(struct mqtt_unacked *unacked, int mid, size_t payload_bytes);
// Its PUBACK has come. Does nothing for one that is not counted.
void mqtt_unacked_heard(struct mqtt_unacked *unacked, int mid);
