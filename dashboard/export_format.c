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

bool export_add_csv(struct buf *out, const char *value, enum export_type type)
{
	if (!value)
		return true;
	if (type == EXPORT_BOOL)
		return buf_add_str(out, value[0] == 't' ? "true" : "false");

	bool formula = type == EXPORT_TEXT && value[0] && strchr("=+-@\t\r\n", value[0]);

	// A cell that is empty in quotation marks is an empty text; without them it is nothing.
	if (!formula && value[0] && !strpbrk(value, "\",\r\n") && value[0] != ' ' && value[strlen(value) - 1] != ' ')
		return buf_add_str(out, value);
	(void)buf_add_str(out, formula ? "\"'" : "\"");
	for (const char *rest = value; *rest;) {
		size_t plain = strcspn(rest, "\"");

		(void)buf_add(out, rest, plain);
		rest += plain;
		if (*rest)
			rest += buf_add_str(out, "\"\"") ? 1 : strlen(rest);
	}
	return buf_add_str(out, "\"");
}

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
