#include "commander/outgoing.h"

#include <stdlib.h>
#include <string.h>

static void message_done(struct outgoing_message *message)
{
	free((void *)message->topic);
	free((void *)message->payload);
	free((void *)message->correlation);
	free((void *)message->request_id);
	*message = (struct outgoing_message){0};
}

void outgoing_done(struct outgoing *outgoing)
{
	for (size_t i = 0; i < outgoing->count; i++)
		message_done(&outgoing->messages[i]);
	free(outgoing->messages);
	*outgoing = (struct outgoing){0};
}

static bool grow(struct outgoing *outgoing)
{
	size_t capacity = outgoing->capacity ? outgoing->capacity * 2 : 64;
	void *grown = NULL;

	if (outgoing->count < outgoing->capacity)
		return true;
	if (outgoing->count >= OUTGOING_MAX)
		return false;
	grown = realloc(outgoing->messages, capacity * sizeof(outgoing->messages[0]));
	if (!grown)
		return false;
	outgoing->messages = grown;
	outgoing->capacity = capacity;
	return true;
}

static void *copy_bytes(const void *data, size_t len_bytes)
{
	void *copy = malloc(len_bytes);

	return copy ? memcpy(copy, data, len_bytes) : NULL;
}

bool outgoing_add(struct outgoing *outgoing, const struct outgoing_message *message)
{
	struct outgoing_message copy = {.keep = message->keep, .correlation_bytes = message->correlation_bytes};

	if (outgoing->count >= OUTGOING_MAX || !grow(outgoing))
		return false;
	copy.topic = strdup(message->topic);
	copy.payload = strdup(message->payload);
	if (message->request_id)
		copy.request_id = strdup(message->request_id);
	if (message->correlation_bytes > 0)
		copy.correlation = copy_bytes(message->correlation, message->correlation_bytes);
	if (!copy.topic || !copy.payload || (message->request_id && !copy.request_id) ||
	    (message->correlation_bytes > 0 && !copy.correlation)) {
		message_done(&copy);
		return false;
	}
	outgoing->messages[outgoing->count++] = copy;
	return true;
}

void outgoing_commit(struct outgoing *outgoing)
{
	outgoing->committed = outgoing->count;
}

void outgoing_rollback(struct outgoing *outgoing)
{
	while (outgoing->count > outgoing->committed)
		message_done(&outgoing->messages[--outgoing->count]);
}

size_t outgoing_flush(struct outgoing *outgoing, bool connected,
		      enum outgoing_fate (*publish)(void *user, const struct outgoing_message *message), void *user,
		      size_t *lost)
{
	size_t published = 0;
	size_t kept = 0;

	for (size_t i = 0; i < outgoing->committed; i++) {
		struct outgoing_message *message = &outgoing->messages[i];
		enum outgoing_fate fate = connected ? publish(user, message) : OUTGOING_WAITS;

		// Half of it, which leaves room for the next batch.
		if (fate == OUTGOING_WAITS && message->keep && kept < OUTGOING_MAX / 2) {
			outgoing->messages[kept++] = *message;
			continue;
		}
		published += fate == OUTGOING_PUBLISHED;
		*lost += fate == OUTGOING_WAITS && message->keep;
		message_done(message);
	}
	if (outgoing->count > outgoing->committed)
		memmove(&outgoing->messages[kept], &outgoing->messages[outgoing->committed],
			(outgoing->count - outgoing->committed) * sizeof(outgoing->messages[0]));
	outgoing->count -= outgoing->committed - kept;
	outgoing->committed = kept;
	return published;
}
