// Presence (docs/protocol.md, section 3): plain text, and user properties that tell a will from a goodbye and one
// connection of the device from the next.
#include "ingest/status.h"

#include "ingest/kind.h"

#include <string.h>

static bool is_text(const struct input *in, const char *text)
{
	return in->payload_bytes == strlen(text) && memcmp(in->payload, text, in->payload_bytes) == 0;
}

static const char *why_of(const struct input *in)
{
	static const char *const known[] = {"will", "goodbye", "sleep"};
	for (size_t i = 0; in->why && i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(in->why, known[i]) == 0)
			return known[i];
	return "status";
}

static bool status_parse(const struct input *in, struct arena *arena, struct message *out, struct error *error)
{
	if (in->payload_bytes == 0) { // an administrator clears the retained message
		out->alive = false;
		return true;
	}
	bool online = is_text(in, "online");
	if (!online && !is_text(in, "offline"))
		return error_set(error, ERROR_INVALID, "status is neither online nor offline");
	struct status *status = arena_alloc(arena, sizeof(*status));
	*status = (struct status){.online = online, .why = why_of(in), .retained = in->retained};
	if (in->session && !number_parse(in->session, &status->session))
		return error_set(error, ERROR_INVALID, "user property session is not a number of up to 18 digits");
	out->rows = status;
	out->stamps = arena_alloc(arena, sizeof(*out->stamps));
	out->stamps->ts_ms = in->received_ms;
	out->count = 1;
	out->alive = online && !in->retained;
	return true;
}

// Said by the device itself, with time to say it.
static bool is_firm(const struct status *status)
{
	return !status->retained && (strcmp(status->why, "goodbye") == 0 || strcmp(status->why, "sleep") == 0);
}

static void status_tell(const struct message *message, size_t row, struct device_summary *device)
{
	const struct status *status = &((const struct status *)message->rows)[row];
	if (status->online)
		device_summary_online(device, "status", status->session, message->received_ms, !status->retained);
	else
		device_summary_offline(device, status->why, status->session, message->received_ms,
				       is_firm(status));
}

const struct kind status_kind = {
	.topic = TOPIC_STATUS,
	.parse = status_parse,
	.tell = status_tell,
};
