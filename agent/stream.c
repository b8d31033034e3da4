#include "agent/stream.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/topic.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" // U+FFFD

bool stream_init(struct stream *stream, struct outbox *outbox, const char *device, const char *command,
		 struct error *error)
{
	char id[STREAM_ID_MAX + 1];
	*stream = (struct stream){.outbox = outbox, .max_bytes = STREAM_COMMAND_MAX_BYTES};
	buf_init(&stream->pending, STREAM_CHUNK_BYTES);
	buf_init(&stream->head, STREAM_HEAD_BYTES);
	(void)snprintf(stream->command, sizeof(stream->command), "%s", command);
	(void)snprintf(id, sizeof(id), "%s", command);
	for (char *c = id; *c; c++) // a topic has small letters only
		*c = (char)tolower((unsigned char)*c);
	return topic_build(stream->topic, TOPIC_STREAM, device, id) ||
	       error_set(error, ERROR_INVALID, "the command's id %s can't be part of a topic", command);
}

void stream_done(struct stream *stream)
{
	buf_done(&stream->pending);
	buf_done(&stream->head);
}

// ---- UTF-8 (RFC 3629) ----

// Whether text[i] may be where it is: no overlong forms, no surrogates, nothing above U+10FFFF.
static bool continues(const unsigned char *text, int i)
{
	static const struct {
		unsigned char lead, low, high;
	} narrow[] = {{0xe0, 0xa0, 0xbf}, {0xf0, 0x90, 0xbf}, {0xed, 0x80, 0x9f}, {0xf4, 0x80, 0x8f}};
	for (size_t k = 0; i == 1 && k < sizeof(narrow) / sizeof(narrow[0]); k++) {
		if (narrow[k].lead == text[0])
			return text[1] >= narrow[k].low && text[1] <= narrow[k].high;
	}
	return text[i] >= 0x80 && text[i] <= 0xbf;
}

// How many bytes the character at text has; 0: it is none, -1: it may be one when more bytes come.
static int character(const unsigned char *text, size_t len_bytes)
{
	unsigned char lead = text[0];
	if (lead < 0x80)
		return lead == 0 ? 0 : 1;
	int size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	for (int i = 1; i < size; i++) {
		if ((size_t)i >= len_bytes)
			return -1;
		if (!continues(text, i))
			return 0;
	}
	return size;
}

size_t stream_text(struct buf *out, const char *bytes, size_t len_bytes, bool more)
{
	size_t at = 0;
	while (at < len_bytes) {
		int size = character((const unsigned char *)bytes + at, len_bytes - at);
		if (size < 0 && more)
			break;
		if (size > 0)
			(void)buf_add(out, bytes + at, (size_t)size);
		else
			(void)buf_add_str(out, REPLACEMENT);
		at += size > 0 ? (size_t)size : 1;
	}
	return at;
}

// ---- chunks ----

static bool push(struct stream *stream, bool end, struct error *error)
{
	struct buf text auto_buf = {0};
	struct json *body auto_json = json_new_object();
	buf_init(&text, (size_t)3 * STREAM_CHUNK_BYTES + 1);
	size_t used = stream_text(&text, buf_str(&stream->pending), stream->pending.len_bytes, !end);
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, "command", stream->command);
	json_set_int(body, "n", stream->chunks);
	json_set_string(body, "data", buf_str(&text));
	json_set_bool(body, "end", end);
	if (end && stream->cut)
		json_set_bool(body, "cut", true);
	if (used == 0 && !end)
		return true;
	if (!outbox_push(stream->outbox, stream->topic, body, NULL, error))
		return false;
	if (end) // its transaction may still fail, and then it is sent once more
		return true;
	stream->chunks++;
	buf_consume(&stream->pending, used);
	stream->due_ms = 0;
	return true;
}

void stream_flush(struct stream *stream, int64_t now_ms)
{
	struct error ignored = {0};
	bool full = stream->pending.len_bytes >= stream->pending.max_bytes;
	if (stream->pending.len_bytes == 0 || (!full && now_ms < stream->due_ms))
		return;
	if (!push(stream, false, &ignored)) {
		stream->cut = true;
		buf_clear(&stream->pending);
	}
	stream->due_ms = stream->pending.len_bytes > 0 ? now_ms + STREAM_DELAY_MS : 0;
}

void stream_add(struct stream *stream, const char *bytes, size_t len_bytes, int64_t now_ms)
{
	size_t room = stream->head.max_bytes - stream->head.len_bytes;
	(void)buf_add(&stream->head, bytes, len_bytes < room ? len_bytes : room);
	if (stream->silent)
		return;
	if (stream->taken_bytes + (int64_t)len_bytes > stream->max_bytes) {
		stream->cut = true;
		len_bytes = (size_t)(stream->max_bytes - stream->taken_bytes);
	}
	stream->taken_bytes += (int64_t)len_bytes;
	while (len_bytes > 0) {
		room = stream->pending.max_bytes - stream->pending.len_bytes;
		size_t part = len_bytes < room ? len_bytes : room;
		if (stream->pending.len_bytes == 0)
			stream->due_ms = now_ms + STREAM_DELAY_MS;
		(void)buf_add(&stream->pending, bytes, part);
		bytes += part;
		len_bytes -= part;
		stream_flush(stream, now_ms);
	}
}

bool stream_end(struct stream *stream, struct error *error)
{
	if (stream->silent || (stream->taken_bytes == 0 && !stream->cut))
		return true;
	return push(stream, true, error);
}
