// Takes MQTT messages into the batch: finds the kind by the topic, has it parsed, refuses what is not sound.
#pragma once

#include "common/mqtt.h"
#include "ingest/batch.h"

#include <stddef.h>
#include <stdint.h>

#define INLET_EPOCH_BYTES 10 // "-" and 8 hex digits, and the terminator

struct inlet {
	// For messages that carry none: the epoch of this process and a counter. It tells the rows apart; a message
	// that comes again gets another, so these are stored at least once.
	char epoch[INLET_EPOCH_BYTES];
	int64_t seq;
};

void inlet_init(struct inlet *inlet);
// received_ms is wall time. A full batch still takes QoS 1 messages, for they will be acknowledged with it; QoS 0 is
// dropped (false).
bool inlet_take(struct inlet *inlet, struct batch *batch, const struct mqtt_message *in, int64_t received_ms);

// The kinds, for those who go over all of them.
size_t inlet_kind_count(void);
const struct kind *inlet_kind(size_t index);
