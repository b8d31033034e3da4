#include "ingest/quarantine.h"

#include <limits.h>

#define COPY_SQL "copy quarantine (received_at, device, topic, reason, payload, bytes) from stdin (format binary)"

bool quarantine_store(struct copy *copy, struct pg *pg, const struct message *messages, size_t count,
		      struct error *error)
{
	if (!copy_start(copy, pg, COPY_SQL, error))
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct message *message = &messages[i];
		if (!message->refusal)
			continue;
		size_t shown = message->payload_bytes;
		if (shown > QUARANTINE_PAYLOAD_MAX)
			shown = QUARANTINE_PAYLOAD_MAX;
		copy_row(copy, 6);
		copy_time(copy, message->received_ms);
		copy_text(copy, message->device);
		copy_text(copy, message->topic);
		copy_text(copy, message->refusal);
		copy_bytes(copy, message->excerpt, shown);
		copy_int4(copy, message->payload_bytes > INT32_MAX ? INT32_MAX : (int32_t)message->payload_bytes);
	}
	return copy_end(copy, error);
}
