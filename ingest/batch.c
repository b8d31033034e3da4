#include "ingest/batch.h"

#include "common/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool batch_init(struct batch *batch, size_t max, struct error *error)
{
	*batch = (struct batch){.max = max, .capacity = max + MQTT_RECEIVE_MAXIMUM};
	batch->messages = calloc(batch->capacity, sizeof(*batch->messages));
	arena_init(&batch->arena, BATCH_BYTES_MAX);
	return batch->messages || error_errno(error, ENOMEM, "cannot make a batch of %zu messages", max);
}

void batch_done(struct batch *batch)
{
	arena_done(&batch->arena);
	free(batch->messages);
	*batch = (struct batch){0};
}

struct message *batch_add(struct batch *batch)
{
	if (batch->count == batch->capacity)
		abort(); // the message would be acknowledged without being stored; after a restart it comes again
	struct message *message = &batch->messages[batch->count++];
	memset(message, 0, sizeof(*message));
	return message;
}

bool batch_full(const struct batch *batch)
{
	return batch->count >= batch->max || batch->arena.used_bytes >= BATCH_BYTES_MAX;
}

void batch_clear(struct batch *batch)
{
	batch->count = batch->done = 0;
	arena_reset(&batch->arena);
}
