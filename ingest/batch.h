// The messages that were read and are not acknowledged: they are committed together, then acknowledged together.
#pragma once

#include "ingest/message.h"

#include <stdbool.h>
#include <stddef.h>

// A batch stops taking in at its number of messages or at this size, whichever comes first. One read beyond it may add
// some more: a TLS record is always read to its end.
#define BATCH_BYTES_MAX ((size_t)6 * 1024 * 1024)

struct batch {
	struct arena arena;
	struct message *messages;
	size_t count, max;
	size_t capacity; // max, and as many more as may be unacknowledged (MQTT_RECEIVE_MAXIMUM)
	size_t done;     // the first so many are committed
};

bool batch_init(struct batch *batch, size_t max, struct error *error) must_check;
void batch_done(struct batch *batch);
// A new message, zeroed, in the arena's care until the batch is cleared. Aborts beyond its capacity.
struct message *batch_add(struct batch *batch);
bool batch_full(const struct batch *batch);
void batch_clear(struct batch *batch);
