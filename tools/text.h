// How times, sizes and texts of devices read for people: the same in every verb, and as on the page
// (dashboard/web/src/format.ts).
#pragma once

#include "common/buf.h"
#include "common/json.h"

#include <stdint.h>

struct text {
	char s[96];
};

// "4 s ago", "in 89 d", "now"; "" for what is no RFC 3339 time. NULL is no time.
struct text text_ago(const char *rfc3339, int64_t now_ms);
// "2026-11-21 01:46:23Z, 4 s ago"; "never" for what is no time.
struct text text_time(const char *rfc3339, int64_t now_ms);
// "2026-11-21 01:46:23.719Z"
struct text text_instant(const char *rfc3339);
// "42 s", "5 min", "2 h 3 min", "4 d 7 h"
struct text text_duration(int64_t seconds);
// "24.8 of 25.3 GB free"
struct text text_free_of(double free_bytes, double total_bytes);

// The string member of this name; "" where there is none.
const char *text_member(const struct json *object, const char *name);
// Appends the pieces of text between separators to an array, without empty ones.
void text_append_pieces(struct json *array, const char *text, const char *separators);

// Appends text that a device chose; what could steer a terminal becomes "?".
void text_add_safe(struct buf *out, const char *text);
// Appends "  <label>  <words>\n", broken between words at 80 columns.
void text_add_fact(struct buf *out, const char *label, const char *words);
