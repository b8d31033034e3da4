#include "dashboard/export_format.h"

#include "common/json.h"

#include <string.h>

static const struct {
	const char *name, *type;
} formats[] = {
	[EXPORT_CSV] = {"csv", "text/csv;charset=utf-8;header=present"},
	[EXPORT_JSON] = {"json", "application/json"},
	[EXPORT_NDJSON] = {"ndjson", "application/x-ndjson"},
};

bool export_format_parse(const char *name, enum export_format *out)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strcmp(formats[i].name, name) == 0) {
			*out = (enum export_format)i;
			return true;
		}
	}
	return false;
}

const char *export_format_name(enum export_format format)
{
	return formats[format].name;
}

const char *export_format_type(enum export_format format)
{
	return formats[format].type;
}

// ---- CSV ----
// A spreadsheet takes a cell that begins with one of these for a formula, whether it is in quotation marks or not.
// Where lists are written with semicolons it also splits lines at these, and then marks within a line quote nothing: so
// what follows a semicolon, a tab or a line end counts as the beginning of a cell, too.

// The wide forms are U+FF0B, U+FF0D, U+FF1D and U+FF20. json: how JSON writes the same.
static const struct sign {
	const char *text, *json;
} signs[] = {
	{"=", "\\u003d"},
	{"+", "\\u002b"},
	{"-", "\\u002d"},
	{"@", "\\u0040"},
	{"\xef\xbc\x8b", "\\uff0b"},
	{"\xef\xbc\x8d", "\\uff0d"},
	{"\xef\xbc\x9d", "\\uff1d"},
	{"\xef\xbc\xa0", "\\uff20"},
};

// The one that stands at this place; NULL: none.
static const struct sign *sign_at(const char *at)
{
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (strncmp(at, signs[i].text, strlen(signs[i].text)) == 0)
			return &signs[i];
	}
	return NULL;
}

static bool parts_cells(char c)
{
	return c == ';' || c == '\t' || c == '\r' || c == '\n';
}

static bool needs_marks(const char *value, enum export_type type)
{
	return !value[0] || strpbrk(value, "\",;\t\r\n") || value[0] == ' ' || value[strlen(value) - 1] == ' ' ||
	       (type == EXPORT_TEXT && sign_at(value));
}

// The apostrophe changes a text, which cannot be helped; data stays the same.
static bool add_in_marks(struct buf *out, const char *value, enum export_type type)
{
	bool begins = type == EXPORT_TEXT; // within texts alone a semicolon of JSON can stand

	(void)buf_add_str(out, begins && parts_cells(value[0]) ? "\"'" : "\"");
	for (const char *at = value; *at;) {
		const struct sign *sign = begins ? sign_at(at) : NULL;
		size_t length = sign ? strlen(sign->text) : begins ? 1 : strcspn(at, "\";\t\r\n");

		length += length == 0;
		if (sign && type == EXPORT_DATA)
			(void)buf_add_str(out, sign->json);
		else
			(void)buf_addf(out, "%s%.*s", sign ? "'" : *at == '"' ? "\"" : "", (int)length, at);
		at += length;
		begins = parts_cells(at[-1]) || (begins && at[-1] == ' ');
	}
	return buf_add_str(out, "\"");
}

bool export_add_csv(struct buf *out, const char *value, enum export_type type)
{
	if (!value)
		return true;
	if (type == EXPORT_BOOL)
		return buf_add_str(out, value[0] == 't' ? "true" : "false");
	// A cell that is empty in quotation marks is an empty text; without them it is nothing.
	return needs_marks(value, type) ? add_in_marks(out, value, type) : buf_add_str(out, value);
}

// ---- JSON ----

bool export_add_json(struct buf *out, const char *value, enum export_type type)
{
	if (!value)
		return buf_add_str(out, "null");
	switch (type) {
	case EXPORT_TEXT:
	case EXPORT_TIME:
		return json_quote(out, value);
	case EXPORT_BOOL:
		return buf_add_str(out, value[0] == 't' ? "true" : "false");
	case EXPORT_NUMBER: // no JSON has NaN and Infinity
		return buf_add_str(out, strchr("NI", value[value[0] == '-']) ? "null" : value);
	case EXPORT_DATA:
		break;
	}
	return buf_add_str(out, value);
}

bool export_add_head(struct buf *out, enum export_format format, const char *const *columns, size_t count)
{
	if (format == EXPORT_JSON)
		return buf_add_str(out, "[");
	for (size_t i = 0; format == EXPORT_CSV && i < count; i++)
		(void)buf_addf(out, "%s%s", i > 0 ? "," : "", columns[i]);
	return format == EXPORT_CSV ? buf_add_str(out, "\r\n") : !out->overflowed;
}

bool export_add_tail(struct buf *out, enum export_format format, bool any_rows)
{
	return format != EXPORT_JSON || buf_add_str(out, any_rows ? "\n]\n" : "]\n");
}

bool export_begin_row(struct buf *out, enum export_format format, bool first)
{
	if (format == EXPORT_JSON)
		(void)buf_add_str(out, first ? "\n" : ",\n");
	return format == EXPORT_CSV || buf_add_str(out, "{");
}

bool export_end_row(struct buf *out, enum export_format format)
{
	static const char *const ends[] = {[EXPORT_CSV] = "\r\n", [EXPORT_JSON] = "}", [EXPORT_NDJSON] = "}\n"};

	return buf_add_str(out, ends[format]);
}

bool export_add_cell(struct buf *out, enum export_format format, size_t index, const char *column, const char *value,
		     enum export_type type)
{
	if (index > 0)
		(void)buf_add_str(out, ",");
	if (format == EXPORT_CSV)
		return export_add_csv(out, value, type);
	(void)buf_addf(out, "\"%s\":", column); // the names are ours
	return export_add_json(out, value, type);
}
