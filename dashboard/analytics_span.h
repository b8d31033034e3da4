// What the questions of analytics have in common: a span of time in steps of whole hours, and which devices are meant.
#pragma once

#include "common/clock.h"
#include "common/http.h"
#include "common/query.h"
#include "dashboard/dashboard.h"

#include <stdbool.h>
#include <stdint.h>

#define SPAN_SCOPE_MAX 160

struct span {
	int64_t from_ms, to_ms, step_ms;
	char from[CLOCK_RFC3339_BYTES], to[CLOCK_RFC3339_BYTES], step[32]; // the same for PostgreSQL
};

// "from" and "to" (ms since 1970 or RFC 3339; the last days_default days), "points". Answers 400 itself.
bool span_read(struct http_request *request, int64_t days_default, struct span *out) must_check;
// Widened to days of UTC, and steps of whole days.
void span_whole_days(struct span *span);
// A day of UTC, "day=2026-11-21", today without; answers 400 itself.
bool span_day(struct http_request *request, char out[16]) must_check;

// The scope of rollups that a request is about: "" (all), "tag:x" or "group:x", from its parameter of that name.
// Whoever may see some groups only has those. Answers 403 or 422 itself.
bool span_scope(struct dashboard *dashboard, struct http_request *request, char out[SPAN_SCOPE_MAX]) must_check;

#define SPAN_NO_METRIC "There is no such metric of the fleet; GET /api/v1/analytics/scopes lists them."
// Begins an answer: {"metric","unit","from","to","step_ms" with no brace at its end.
void span_begin_answer(struct buf *body, const char *metric, const char *unit, const struct span *span);
