// JSON (RFC 8259) over json-c, made strict: duplicate keys, NaN, Infinity, trailing bytes, invalid UTF-8, \u0000
// and anything deeper than JSON_DEPTH_MAX are refused, all of which json-c 0.16 lets through.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json; // a value of any type; an owner holds it through json_free, members belong to their parent

enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

// error.what names the fault, error.where its byte offset ("byte 17").
struct json *json_parse(const char *text, size_t len_bytes, struct error *error) must_check;
void json_free(struct json *json);
DEFINE_CLEANUP(struct json, json_free)
#define auto_json cleanup(json_free_cleanup)

enum json_type json_type(const struct json *json);

// Values. Each is false (and leaves out untouched) when the value has another type; JSON_INT is also a double,
// and a double without fraction inside +-2^53 is also an int. Strings belong to the value.
bool json_as_bool(const struct json *json, bool *out);
bool json_as_int(const struct json *json, int64_t *out);
bool json_as_double(const struct json *json, double *out);
bool json_as_string(const struct json *json, const char **out);

// Members: NULL when the object has none of that name, or is no object.
const struct json *json_member(const struct json *object, const char *name);
bool json_member_string(const struct json *object, const char *name, const char **out);
bool json_member_int(const struct json *object, const char *name, int64_t *out);
bool json_member_double(const struct json *object, const char *name, double *out);
bool json_member_bool(const struct json *object, const char *name, bool *out);

size_t json_array_length(const struct json *array);
const struct json *json_array_at(const struct json *array, size_t index);

// for (struct json_iterator it = json_begin(object); json_next(&it);) use it.name, it.value
struct json_iterator {
	const char *name;
	const struct json *value;
	void *next; // private
};
struct json_iterator json_begin(const struct json *object);
bool json_next(struct json_iterator *iterator);

// Building. The adders take ownership of value; memory running out aborts.
struct json *json_new_object(void);
struct json *json_new_array(void);
void json_set(struct json *object, const char *name, struct json *value);
void json_set_string(struct json *object, const char *name, const char *value); // NULL becomes null
void json_set_int(struct json *object, const char *name, int64_t value);
void json_set_double(struct json *object, const char *name, double value); // not finite becomes null
void json_set_bool(struct json *object, const char *name, bool value);
void json_append(struct json *array, struct json *value);
void json_append_string(struct json *array, const char *text);
struct json *json_copy(const struct json *json);

// Compact text in the order of insertion, "/" not escaped; belongs to json until the next call or json_free.
const char *json_text(struct json *json);
// Appends text as a JSON string with its quotes.
bool json_quote(struct buf *out, const char *text);
