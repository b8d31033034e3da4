// The forms of an exported file: CSV (RFC 4180), JSON (one array) and NDJSON (one object a line), from values as
// PostgreSQL writes them.
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum export_format { EXPORT_CSV, EXPORT_JSON, EXPORT_NDJSON };

enum export_type {
	EXPORT_TEXT,
	EXPORT_NUMBER,
	EXPORT_BOOL,
	EXPORT_DATA, // JSON
	EXPORT_TIME, // RFC 3339, UTC
};

bool export_format_parse(const char *name, enum export_format *out) must_check;
const char *export_format_name(enum export_format format);
const char *export_format_type(enum export_format format); // Content-Type

// One cell. What a spreadsheet would take for a formula (a text that begins with = + - @, a tab or a line end) gets an
// apostrophe in front, which such programs show as nothing. value NULL: empty.
bool export_add_csv(struct buf *out, const char *value, enum export_type type);
bool export_add_json(struct buf *out, const char *value, enum export_type type);

// What stands before the first row, and after the last.
bool export_add_head(struct buf *out, enum export_format format, const char *const *columns, size_t count);
bool export_add_tail(struct buf *out, enum export_format format, bool any_rows);
// Before and after the cells of a row.
bool export_begin_row(struct buf *out, enum export_format format, bool first);
bool export_end_row(struct buf *out, enum export_format format);
// Cell number index of a row.
bool export_add_cell(struct buf *out, enum export_format format, size_t index, const char *column, const char *value,
		     enum export_type type);
