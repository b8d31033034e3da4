// What a running command prints, on its way into the outbox: in chunks of text, up to a ceiling (docs/protocol.md,
// section 17). Bytes that are no UTF-8 become U+FFFD; no character is split between two chunks.
#pragma once

#include "agent/outbox.h"
#include "common/buf.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_CHUNK_BYTES 16384 // of text; escaped it stays below what a message may have
#define STREAM_DELAY_MS 250      // the first byte of a chunk waits no longer for others
#define STREAM_HEAD_BYTES 8192   // what is kept for whoever reads the output itself

struct stream {
	struct outbox *outbox;
	char topic[TOPIC_MAX_BYTES];
	char command[COMMAND_ID_BYTES];
	bool silent;        // nothing is sent, only the head is kept
	int64_t max_bytes;  // that are taken
	int64_t taken_bytes;
	int64_t chunks;     // sent so far: the number of the next
	bool cut;           // more was printed, or the outbox had no room
	struct buf pending; // bytes as they came
	int64_t due_ms;     // when they are sent at the latest; 0: there are none
	struct buf head;    // the first bytes
};

bool stream_init(struct stream *stream, struct outbox *outbox, const char *device, const char *command,
		 struct error *error) must_check;
void stream_done(struct stream *stream);

// Takes bytes in, and sends what is due. Output that finds no room in the outbox is dropped and counts as cut.
void stream_add(struct stream *stream, const char *bytes, size_t len_bytes, int64_t now_ms);
void stream_flush(struct stream *stream, int64_t now_ms);
// The last chunk, in the caller's transaction. Nothing when there was no output at all.
bool stream_end(struct stream *stream, struct error *error) must_check;

// Appends bytes as UTF-8 text; with more, a character that is not whole at the end is left out. Returns how many bytes
// were used.
size_t stream_text(struct buf *out, const char *bytes, size_t len_bytes, bool more);
