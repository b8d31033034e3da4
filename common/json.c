// The parser reads the bytes once and builds json-c's objects itself: json-c's own tokener is not asked, because it
// lets through what json.h promises to refuse, and because two parsers of one text may disagree about it.
#include "common/json.h"

#include "common/limits.h"

// json-c has a type of this name, json.h a function.
#define json_type json_c_type
#include <json-c/json.h>
#undef json_type

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// json-c says null by a NULL pointer, and so does json.h say "no such member": null gets an object of its own.
struct json {
	char unused;
};
static struct json json_null;

// The largest integer up to which a double holds every one.
static const double double_exact_max = 9007199254740992.0;

static struct json *wrap(struct json_object *object)
{
	return object ? (struct json *)object : &json_null;
}

static struct json_object *unwrap(const struct json *json)
{
	return json == &json_null ? NULL : (struct json_object *)json;
}

static struct json_object *or_abort(struct json_object *object)
{
	if (!object)
		abort();
	return object;
}

// ---- UTF-8 (RFC 3629) ----

// Length of the well-formed sequence at text, 0 if there is none: no overlong forms, surrogates or values above
// U+10FFFF.
static size_t utf8_length(const unsigned char *text, size_t len_bytes)
{
	unsigned char first = text[0];
	if (first < 0x80)
		return 1;
	size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || len > len_bytes)
		return 0;
	// Only the second byte has a narrower range, and only after these.
	unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static size_t utf8_encode(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

static bool utf8_valid(const char *text, size_t len_bytes)
{
	const unsigned char *at = (const unsigned char *)text;
	for (size_t i = 0; i < len_bytes;) {
		size_t len = utf8_length(at + i, len_bytes - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

// A copy in which each stray byte is U+FFFD, so that what is built here is always valid JSON; NULL if there is none.
static char *utf8_repair(const char *text)
{
	size_t len_bytes = strlen(text);
	if (utf8_valid(text, len_bytes))
		return NULL;
	char *repaired = malloc(3 * len_bytes + 1);
	if (!repaired)
		abort();
	const unsigned char *at = (const unsigned char *)text;
	char *to = repaired;
	for (size_t i = 0; i < len_bytes;) {
		size_t len = utf8_length(at + i, len_bytes - i);
		if (len > 0) {
			memcpy(to, text + i, len);
			to += len;
		} else {
			to += utf8_encode(0xfffd, to);
		}
		i += len ? len : 1;
	}
	*to = '\0';
	return repaired;
}

// ---- Numbers ----

static locale_t c_locale;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c_locale)
		abort();
}

// strtod takes the decimal point from the process's locale; JSON has one of its own.
static double read_double(const char *text)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, make_c_locale);
	return strtod_l(text, NULL, c_locale);
}

// json-c would write 0.1 as 0.10000000000000001.
static int write_double(struct json_object *object, struct printbuf *out, int level, int flags)
{
	(void)level;
	(void)flags;
	char text[BUF_DOUBLE_BYTES + 2];
	buf_format_double(text, json_object_get_double(object));
	size_t len = strlen(text);
	if (!strpbrk(text, ".e")) // keep it a double for whoever reads it
		len += (size_t)snprintf(text + len, sizeof(text) - len, ".0");
	return printbuf_memappend(out, text, (int)len);
}

static struct json_object *new_double(double value)
{
	struct json_object *object = or_abort(json_object_new_double(value));
	json_object_set_serializer(object, write_double, NULL, NULL);
	return object;
}

// ---- Parsing ----

struct parser {
	const unsigned char *start, *at, *end;
	unsigned depth;
	unsigned containers;
	struct buf text; // the last string, unescaped
	struct error *error;
};

static bool parse_value(struct parser *in, struct json_object **out);

static bool fail(struct parser *in, const char *what)
{
	(void)error_set(in->error, ERROR_INVALID, "not valid JSON: %s", what);
	if (in->error)
		(void)snprintf(in->error->where, sizeof(in->error->where), "byte %td", in->at - in->start);
	return false;
}

static void skip_space(struct parser *in)
{
	while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
		in->at++;
}

static bool take(struct parser *in, unsigned char wanted)
{
	if (in->at == in->end || *in->at != wanted)
		return false;
	in->at++;
	return true;
}

static bool read_hex4(struct parser *in, uint32_t *out)
{
	uint32_t value = 0;
	for (int i = 0; i < 4; i++, in->at++) {
		if (in->at == in->end)
			return fail(in, "the text ends within an escape");
		unsigned char c = *in->at;
		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return fail(in, "\\u needs four hexadecimal digits");
	}
	*out = value;
	return true;
}

// After "\u".
static bool read_unicode_escape(struct parser *in)
{
	uint32_t code;
	if (!read_hex4(in, &code))
		return false;
	if (code == 0)
		return fail(in, "\\u0000 is not accepted");
	if (code >= 0xdc00 && code <= 0xdfff)
		return fail(in, "a low surrogate without its high one");
	if (code >= 0xd800 && code <= 0xdbff) {
		uint32_t low;
		if (!take(in, '\\') || !take(in, 'u'))
			return fail(in, "a high surrogate without its low one");
		if (!read_hex4(in, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return fail(in, "a high surrogate without its low one");
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	char utf8[4];
	return buf_add(&in->text, utf8, utf8_encode(code, utf8)) || fail(in, "no memory");
}

// After "\".
static bool read_escape(struct parser *in)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	if (take(in, 'u'))
		return read_unicode_escape(in);
	const char *found = in->at < in->end && *in->at ? strchr(from, *in->at) : NULL;
	if (!found)
		return fail(in, "an unknown escape");
	in->at++;
	return buf_add(&in->text, &to[found - from], 1) || fail(in, "no memory");
}

// Leaves the unescaped string in in->text; in->at is after the opening quote.
static bool parse_string(struct parser *in)
{
	buf_clear(&in->text);
	for (;;) {
		const unsigned char *run = in->at;
		while (in->at < in->end && *in->at != '"' && *in->at != '\\') {
			if (*in->at < 0x20)
				return fail(in, "a control character in a string");
			size_t len = utf8_length(in->at, (size_t)(in->end - in->at));
			if (len == 0)
				return fail(in, "a string is not valid UTF-8");
			in->at += len;
		}
		if (in->at == in->end)
			return fail(in, "the text ends within a string");
		if (in->at > run && !buf_add(&in->text, run, (size_t)(in->at - run)))
			return fail(in, "no memory");
		if (*in->at++ == '"')
			return true;
		if (!read_escape(in))
			return false;
	}
}

static bool skip_digits(struct parser *in)
{
	const unsigned char *first = in->at;
	while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
		in->at++;
	return in->at > first;
}

// Advances over one number of the grammar of RFC 8259 section 6.
static bool scan_number(struct parser *in, bool *integer)
{
	*integer = true;
	(void)take(in, '-');
	if (!take(in, '0') && !skip_digits(in))
		return fail(in, "a value is expected");
	if (take(in, '.')) {
		*integer = false;
		if (!skip_digits(in))
			return fail(in, "digits are expected after the decimal point");
	}
	if (take(in, 'e') || take(in, 'E')) {
		*integer = false;
		if (!take(in, '+'))
			(void)take(in, '-');
		if (!skip_digits(in))
			return fail(in, "digits are expected in the exponent");
	}
	return true;
}

static bool parse_number(struct parser *in, struct json_object **out)
{
	const unsigned char *first = in->at;
	bool integer;
	if (!scan_number(in, &integer))
		return false;
	size_t len = (size_t)(in->at - first);
	if (len > JSON_NUMBER_MAX)
		return fail(in, "a number is too long");

	char text[JSON_NUMBER_MAX + 1];
	memcpy(text, first, len);
	text[len] = '\0';
	if (integer) {
		errno = 0;
		long long value = strtoll(text, NULL, 10);
		if (errno == 0) {
			*out = or_abort(json_object_new_int64(value));
			return true;
		}
	}
	double value = read_double(text);
	if (!isfinite(value))
		return fail(in, "a number is out of range");
	*out = new_double(value);
	return true;
}

static bool enter(struct parser *in)
{
	in->at++;
	if (++in->depth > JSON_DEPTH_MAX)
		return fail(in, "it is nested too deeply");
	if (++in->containers > JSON_CONTAINERS_MAX)
		return fail(in, "it has too many objects and arrays");
	return true;
}

static bool parse_array(struct parser *in, struct json_object **out)
{
	if (!enter(in))
		return false;
	struct json_object *array = or_abort(json_object_new_array_ext(4));
	*out = array; // the caller frees what there is when this fails
	skip_space(in);
	bool more = !take(in, ']');
	while (more) {
		struct json_object *element = NULL;
		bool parsed = parse_value(in, &element);
		if (json_object_array_add(array, element) != 0)
			abort();
		if (!parsed)
			return false;
		skip_space(in);
		more = take(in, ',');
		if (!more && !take(in, ']'))
			return fail(in, "\",\" or \"]\" is expected");
	}
	in->depth--;
	return true;
}

static bool parse_member(struct parser *in, struct json_object *object)
{
	skip_space(in);
	if (!take(in, '"'))
		return fail(in, "a member name in quotes is expected");
	if (!parse_string(in))
		return false;
	const char *name = buf_str(&in->text);
	// The name as unescaped is looked up, so "a" and "\u0061" are the same.
	if (json_object_object_get_ex(object, name, NULL))
		return fail(in, "two members have the same name");
	if (json_object_object_length(object) >= JSON_MEMBERS_MAX)
		return fail(in, "an object has too many members");
	if (json_object_object_add_ex(object, name, NULL, JSON_C_OBJECT_ADD_KEY_IS_NEW) != 0)
		abort();
	// in->text is used again for the value: so the name goes in first, and the value into its entry.
	struct lh_entry *entry = json_object_get_object(object)->tail;

	skip_space(in);
	if (!take(in, ':'))
		return fail(in, "\":\" is expected");
	struct json_object *value = NULL;
	bool parsed = parse_value(in, &value);
	entry->v = value;
	return parsed;
}

static bool parse_object(struct parser *in, struct json_object **out)
{
	if (!enter(in))
		return false;
	*out = or_abort(json_object_new_object());
	skip_space(in);
	bool more = !take(in, '}');
	while (more) {
		if (!parse_member(in, *out))
			return false;
		skip_space(in);
		more = take(in, ',');
		if (!more && !take(in, '}'))
			return fail(in, "\",\" or \"}\" is expected");
	}
	in->depth--;
	return true;
}

static bool parse_literal(struct parser *in, const char *literal)
{
	size_t len = strlen(literal);
	if ((size_t)(in->end - in->at) < len || memcmp(in->at, literal, len) != 0)
		return fail(in, "a value is expected");
	in->at += len;
	return true;
}

// *out may be set also on failure: what was built so far, for the caller to free.
static bool parse_value(struct parser *in, struct json_object **out)
{
	skip_space(in);
	switch (in->at < in->end ? *in->at : 0) {
	case '{':
		return parse_object(in, out);
	case '[':
		return parse_array(in, out);
	case '"':
		in->at++;
		if (!parse_string(in))
			return false;
		*out = or_abort(json_object_new_string_len(buf_str(&in->text), (int)in->text.len_bytes));
		return true;
	case 't':
	case 'f': {
		bool value = *in->at == 't';
		if (!parse_literal(in, value ? "true" : "false"))
			return false;
		*out = or_abort(json_object_new_boolean(value));
		return true;
	}
	case 'n':
		return parse_literal(in, "null");
	default:
		return parse_number(in, out);
	}
}

struct json *json_parse(const char *text, size_t len_bytes, struct error *error)
{
	if (len_bytes > INT32_MAX) { // json-c counts in int
		(void)error_set(error, ERROR_LIMIT, "the JSON text is too long");
		return NULL;
	}
	const unsigned char *bytes = (const unsigned char *)text;
	struct parser in = {.start = bytes, .at = bytes, .end = bytes + len_bytes, .error = error};
	buf_init(&in.text, len_bytes);

	struct json_object *root = NULL;
	bool parsed = parse_value(&in, &root);
	if (parsed) {
		skip_space(&in);
		if (in.at != in.end)
			parsed = fail(&in, "something follows the value");
	}
	buf_done(&in.text);
	if (!parsed) {
		(void)json_object_put(root);
		return NULL;
	}
	return wrap(root);
}

void json_free(struct json *json)
{
	if (json)
		(void)json_object_put(unwrap(json));
}

// ---- Reading ----

enum json_type json_type(const struct json *json)
{
	switch (json_object_get_type(unwrap(json))) {
	case json_type_boolean:
		return JSON_BOOL;
	case json_type_int:
		return JSON_INT;
	case json_type_double:
		return JSON_DOUBLE;
	case json_type_string:
		return JSON_STRING;
	case json_type_array:
		return JSON_ARRAY;
	case json_type_object:
		return JSON_OBJECT;
	case json_type_null:
		break;
	}
	return JSON_NULL;
}

bool json_as_bool(const struct json *json, bool *out)
{
	if (json_type(json) != JSON_BOOL)
		return false;
	*out = json_object_get_boolean(unwrap(json));
	return true;
}

bool json_as_int(const struct json *json, int64_t *out)
{
	if (json_type(json) == JSON_INT) {
		*out = json_object_get_int64(unwrap(json));
		return true;
	}
	if (json_type(json) != JSON_DOUBLE)
		return false;
	double value = json_object_get_double(unwrap(json));
	if (fabs(value) > double_exact_max || value != trunc(value))
		return false;
	*out = (int64_t)value;
	return true;
}

bool json_as_double(const struct json *json, double *out)
{
	enum json_type type = json_type(json);
	if (type != JSON_INT && type != JSON_DOUBLE)
		return false;
	*out = json_object_get_double(unwrap(json));
	return true;
}

bool json_as_string(const struct json *json, const char **out)
{
	if (json_type(json) != JSON_STRING)
		return false;
	*out = json_object_get_string(unwrap(json));
	return true;
}

const struct json *json_member(const struct json *object, const char *name)
{
	struct json_object *value;
	if (json_type(object) != JSON_OBJECT || !json_object_object_get_ex(unwrap(object), name, &value))
		return NULL;
	return wrap(value);
}

bool json_member_string(const struct json *object, const char *name, const char **out)
{
	return json_as_string(json_member(object, name), out);
}

bool json_member_int(const struct json *object, const char *name, int64_t *out)
{
	return json_as_int(json_member(object, name), out);
}

bool json_member_double(const struct json *object, const char *name, double *out)
{
	return json_as_double(json_member(object, name), out);
}

bool json_member_bool(const struct json *object, const char *name, bool *out)
{
	return json_as_bool(json_member(object, name), out);
}

size_t json_array_length(const struct json *array)
{
	return json_type(array) == JSON_ARRAY ? json_object_array_length(unwrap(array)) : 0;
}

const struct json *json_array_at(const struct json *array, size_t index)
{
	if (index >= json_array_length(array))
		return NULL;
	return wrap(json_object_array_get_idx(unwrap(array), index));
}

struct json_iterator json_begin(const struct json *object)
{
	struct json_iterator iterator = {0};
	if (json_type(object) == JSON_OBJECT)
		iterator.next = json_object_get_object(unwrap(object))->head;
	return iterator;
}

bool json_next(struct json_iterator *iterator)
{
	struct lh_entry *entry = iterator->next;
	if (!entry)
		return false;
	iterator->name = lh_entry_k(entry);
	iterator->value = wrap(lh_entry_v(entry));
	iterator->next = entry->next;
	return true;
}

// ---- Building ----

struct json *json_new_object(void)
{
	return wrap(or_abort(json_object_new_object()));
}

struct json *json_new_array(void)
{
	return wrap(or_abort(json_object_new_array()));
}

static void set(struct json *object, const char *name, struct json_object *value)
{
	char *repaired auto_free = utf8_repair(name);
	if (json_object_object_add(unwrap(object), repaired ? repaired : name, value) != 0)
		abort();
}

void json_set(struct json *object, const char *name, struct json *value)
{
	set(object, name, value ? unwrap(value) : NULL);
}

static struct json_object *new_string(const char *text)
{
	char *repaired auto_free = utf8_repair(text);
	return or_abort(json_object_new_string(repaired ? repaired : text));
}

void json_set_string(struct json *object, const char *name, const char *value)
{
	set(object, name, value ? new_string(value) : NULL);
}

void json_set_int(struct json *object, const char *name, int64_t value)
{
	set(object, name, or_abort(json_object_new_int64(value)));
}

void json_set_double(struct json *object, const char *name, double value)
{
	set(object, name, isfinite(value) ? new_double(value) : NULL);
}

void json_set_bool(struct json *object, const char *name, bool value)
{
	set(object, name, or_abort(json_object_new_boolean(value)));
}

void json_append(struct json *array, struct json *value)
{
	if (json_object_array_add(unwrap(array), value ? unwrap(value) : NULL) != 0)
		abort();
}

void json_append_string(struct json *array, const char *text)
{
	json_append(array, wrap(new_string(text)));
}

struct json *json_copy(const struct json *json)
{
	struct json_object *copy = NULL;
	if (unwrap(json) && json_object_deep_copy(unwrap(json), &copy, NULL) != 0)
		abort();
	return wrap(copy);
}

const char *json_text(struct json *json)
{
	const char *text =
		json_object_to_json_string_ext(unwrap(json), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		abort();
	return text;
}

// How many bytes at text go out as they are: neither '"', '\', controls (C1 and DEL too, which terminals obey) nor
// stray bytes.
static size_t plain_run(const unsigned char *text, size_t len_bytes)
{
	size_t run = 0;
	while (run < len_bytes) {
		unsigned char c = text[run];
		if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
			break;
		size_t len = utf8_length(text + run, len_bytes - run);
		if (len == 0 || (c == 0xc2 && text[run + 1] < 0xa0))
			break;
		run += len;
	}
	return run;
}

bool json_quote(struct buf *out, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t left = strlen(text);
	(void)buf_add_str(out, "\"");
	while (left > 0) {
		size_t run = plain_run(at, left);
		(void)buf_add(out, at, run);
		at += run;
		left -= run;
		if (left == 0)
			break;
		size_t len = utf8_length(at, left);
		if (*at == '"' || *at == '\\')
			(void)buf_addf(out, "\\%c", *at);
		else if (*at == '\n')
			(void)buf_add_str(out, "\\n");
		else
			(void)buf_addf(out, "\\u%04x", len == 0 ? 0xfffdU : len == 2 ? (unsigned)at[1] : (unsigned)*at);
		at += len ? len : 1;
		left -= len ? len : 1;
	}
	return buf_add_str(out, "\"");
}
