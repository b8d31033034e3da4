// Presence (docs/protocol.md, section 3): plain text. Whether "offline" came from the device or, as its will, from the
// broker cannot be told here, so both are recorded as evidence "status".
#include "ingest/status.h"

#include "ingest/kind.h"

#include <string.h>

static bool is_text(const struct input *in, const char *text)
{
	return in->payload_bytes == strlen(text) && memcmp(in->payload, text, in->payload_bytes) == 0;
}

static bool status_parse(const struct input *in, struct arena *arena, struct message *out, struct error *error)
{
	if (in->payload_bytes == 0) // an administrator clears the retained message
		return true;
	bool online = is_text(in, "online");
	if (!online && !is_text(in, "offline"))
		return error_set(error, ERROR_INVALID, "status is neither online nor offline");
	struct status *status = arena_alloc(arena, sizeof(*status));
	status->online = online;
	out->rows = status;
	out->stamps = arena_alloc(arena, sizeof(*out->stamps));
	out->stamps->ts_ms = in->received_ms;
	out->count = 1;
	out->alive = online && !in->retained;
	return true;
}

static void status_tell(const struct message *message, size_t row, struct device_summary *device)
{
	bool online = ((const struct status *)message->rows)[row].online;
	device_summary_presence(device, online ? "online" : "offline", "status", message->received_ms);
}

const struct kind status_kind = {
	.topic = TOPIC_STATUS,
	.parse = status_parse,
	.tell = status_tell,
};
