#include "dashboard/script.h"

#include <string.h>

#define NAME_MAX_BYTES 32

extern const char script_computer_bash[], script_computer_windows[], script_device[], script_faults[]; // CMakeLists.txt

static const struct {
	const char *name, *file, *text;
	const char *quote; // how a single quote is written in a single-quoted text
	const char *line_end;
} kinds[] = {
	[SCRIPT_BASH] = {"bash", "muster-enroll.sh", script_computer_bash, "'\\''", "\n"},
	[SCRIPT_WINDOWS] = {"windows", "muster-enroll.bat", script_computer_windows, "''", "\r\n"},
};

bool script_kind_parse(const char *name, enum script_kind *out)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			*out = (enum script_kind)i;
			return true;
		}
	}
	return false;
}

const char *script_file(enum script_kind kind)
{
	return kinds[kind].file;
}

// PowerShell takes the typographic quotes for quotes, too: so nothing but ASCII.
static bool add_quoted(struct buf *out, enum script_kind kind, const char *name, const char *text, struct error *error)
{
	buf_add_str(out, "'");
	for (const char *c = text; *c; c++) {
		if (*c == '\'')
			buf_add_str(out, kinds[kind].quote);
		else if (*c == '\n')
			buf_add_str(out, kinds[kind].line_end);
		else if ((*c >= ' ' && *c <= '~') || *c == '\t')
			buf_add(out, c, 1);
		else
			return error_set(
				error, ERROR_INVALID,
				"%s can't stand in a script: it holds the byte 0x%02x, and only printable ASCII may",
				name, (unsigned char)*c);
	}
	buf_add_str(out, "'");
	return true;
}

static const char *value_of(const struct script_values *values, const char *name)
{
	const struct {
		const char *name, *text;
	} known[] = {
		{"BRIDGE", values->bridge},
		{"TOKEN", values->token},
		{"AUTHORITY", values->authority},
		{"CONFIGURATION", values->configuration},
		{"PACKAGES", values->packages},
		{"FAULTS", script_faults},
		{"DEVICE_SCRIPT", script_device},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) == 0)
			return known[i].text;
	}
	return NULL;
}

// Takes "@NAME@" at the start of text; returns its length, 0 when there is none.
static size_t take_name(const char *text, char name[NAME_MAX_BYTES])
{
	size_t length = strspn(text + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
	if (*text != '@' || length == 0 || length >= NAME_MAX_BYTES || text[1 + length] != '@')
		return 0;
	memcpy(name, text + 1, length);
	name[length] = '\0';
	return length + 2;
}

bool script_make(enum script_kind kind, const struct script_values *values, struct buf *out, struct error *error)
{
	char name[NAME_MAX_BYTES];
	for (const char *at = kinds[kind].text; *at;) {
		size_t length = take_name(at, name);
		const char *value = length > 0 ? value_of(values, name) : NULL;
		if (length > 0 && strcmp(name, "VERSION") == 0)
			buf_add_str(out, MUSTER_VERSION);
		else if (value && !add_quoted(out, kind, name, value, error))
			return false;
		else if (length > 0 && !value)
			return error_set(error, ERROR_FAILED, "the template of %s names %s, which has no value",
					 kinds[kind].file, name);
		else if (length == 0 && *at == '\n')
			buf_add_str(out, kinds[kind].line_end);
		else if (length == 0)
			buf_add(out, at, 1);
		at += length > 0 ? length : 1;
	}
	return !out->overflowed || error_set(error, ERROR_LIMIT, "the script is larger than %zu bytes", out->max_bytes);
}
