// Every parser of what devices send. The first byte picks the kind.
#include "common/limits.h"
#include "ingest/inlet.h"
#include "ingest/kind.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

// A space in front makes telemetry be read the thorough way: the fast one must find the same.
static void compare(const struct input *in, const struct message *plain, bool accepted, struct arena *arena)
{
	struct message thorough = {.kind = plain->kind, .device = plain->device, .received_ms = in->received_ms};
	struct input spaced = *in;
	struct error error = {0};
	char *text = arena_alloc(arena, in->payload_bytes + 1);
	text[0] = ' ';
	memcpy(text + 1, in->payload, in->payload_bytes);
	spaced.payload = text;
	spaced.payload_bytes++;
	if (plain->kind->parse(&spaced, arena, &thorough, &error) != accepted)
		abort();
	if (!accepted)
		return;
	struct copy copies[2];
	for (int i = 0; i < 2; i++) {
		copy_init(&copies[i]);
		const struct message *message = i ? &thorough : plain;
		for (size_t row = 0; row < message->count; row++)
			plain->kind->write(&copies[i], message, row);
	}
	if (copies[0].buf.len_bytes != copies[1].buf.len_bytes ||
	    (copies[0].buf.len_bytes > 0 &&
	     memcmp(copies[0].buf.data, copies[1].buf.data, copies[0].buf.len_bytes) != 0))
		abort();
	for (int i = 0; i < 2; i++)
		copy_done(&copies[i]);
}

static void check(const struct kind *kind, const struct input *in, struct arena *arena)
{
	struct message message = {.kind = kind, .device = "d1", .received_ms = in->received_ms, .alive = true};
	struct error error = {0};
	bool accepted = kind->parse(in, arena, &message, &error);
	if (kind == &telemetry_kind && in->payload_bytes < PAYLOAD_MAX_BYTES)
		compare(in, &message, accepted, arena);
	if (!accepted) {
		if (error.what[0] == '\0')
			abort();
		message_refuse(&message, arena, error.what);
		return;
	}
	struct device_summary device = {.device = "d1"};
	struct copy copy;
	copy_init(&copy);
	for (size_t row = 0; row < message.count; row++) {
		struct stamp *stamp = &message.stamps[row];
		if (stamp->numbered != (stamp->seq > 0) || stamp->ts_ms < 0 || stamp->ts_ms > TS_MAX_MS)
			abort();
		if (kind->tell)
			kind->tell(&message, row, &device);
		if (kind->write)
			kind->write(&copy, &message, row);
	}
	if (copy.buf.overflowed)
		abort();
	copy_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	static struct arena arena;
	if (len_bytes < 1)
		return 0;
	const struct input in = {
		.payload = (const char *)data + 1,
		.payload_bytes = len_bytes - 1,
		.device = "kiosk-7",
		.detail = "network",
		.received_ms = 1767225600000,
	};
	if (!arena.keep_bytes)
		arena_init(&arena, 1 << 20);
	check(inlet_kind(data[0] % inlet_kind_count()), &in, &arena);
	arena_reset(&arena);
	return 0;
}
