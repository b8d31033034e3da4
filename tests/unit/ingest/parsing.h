// What the parsers' tests share: bytes in, a message out.
#pragma once

#include "ingest/kind.h"
#include "tests/unit/scratch.h"

#include "common/error.h"

#define RECEIVED_MS 1767225600000 // 2026-01-01T00:00:00Z

struct parsing {
	struct arena arena;
	struct message message;
	struct error error;
	bool ok;
	const char *session, *why, *peer; // user properties of what is parsed next
	const char *detail;        // of its topic; NULL: "hardware"
};

static struct parsing parsing;

static inline int parsing_setup(void **state)
{
	arena_init(&parsing.arena, 1 << 20);
	return 0;
}

static inline int parsing_teardown(void **state)
{
	arena_done(&parsing.arena);
	return 0;
}

// The bytes are in a block of just their size, so that a sanitizer sees a read beyond it.
static inline bool parse_bytes(const struct kind *kind, const void *bytes, size_t len_bytes, const char *detail,
			       bool retained)
{
	char *exact = malloc(len_bytes ? len_bytes : 1);
	assert_non_null(exact);
	memcpy(exact, bytes, len_bytes);
	arena_reset(&parsing.arena);
	parsing.message = (struct message){.kind = kind, .device = "d1", .alive = !retained};
	parsing.message.received_ms = RECEIVED_MS;
	parsing.error = (struct error){0};
	const struct input in = {
		.payload = exact,
		.payload_bytes = len_bytes,
		.device = "kiosk-7",
		.detail = detail,
		.received_ms = RECEIVED_MS,
		.retained = retained,
		.session = parsing.session,
		.why = parsing.why,
		.peer = parsing.peer,
	};
	parsing.ok = kind->parse(&in, &parsing.arena, &parsing.message, &parsing.error);
	if (parsing.ok)
		message_measure(&parsing.message);
	free(exact);
	return parsing.ok;
}

static inline void accepts(const struct kind *kind, const char *text)
{
	if (!parse_bytes(kind, text, strlen(text), parsing.detail ? parsing.detail : "hardware", false))
		fail_msg("%s: %s", text, parsing.error.what);
}

// reason: a part of the error.
static inline void refuses(const struct kind *kind, const char *text, const char *reason)
{
	if (parse_bytes(kind, text, strlen(text), parsing.detail ? parsing.detail : "hardware", false))
		fail_msg("%s: was accepted", text);
	assert_int_equal(parsing.error.kind, ERROR_INVALID);
	if (!strstr(parsing.error.what, reason))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, parsing.error.what, reason);
}

static inline void stamped(size_t row, const char *epoch, int64_t seq, int64_t ts_ms)
{
	const struct stamp *stamp = &parsing.message.stamps[row];
	assert_true(row < parsing.message.count);
	if (epoch)
		assert_string_equal(stamp->epoch, epoch);
	else
		assert_null(stamp->epoch);
	assert_int_equal(stamp->seq, seq);
	assert_int_equal(stamp->ts_ms, ts_ms);
	assert_int_equal(stamp->numbered, seq > 0);
}
