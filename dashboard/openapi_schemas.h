// What good answers hold: the component schemas of the OpenAPI document. tests/e2e/contract.py holds real answers
// against them; none of these may have a member that its schema does not name.
#pragma once

#include "common/json.h"

#include <stddef.h>

// A type is a word with what is put behind it, read from the left: "string", "integer", "number", "boolean", "object"
// or "any", or the name of a schema; "[]" a list of it, "{}" an object whose members, of whatever names, are it, "?" it
// or null: "number?[]". "page Device" is a page of them, "list Device" all in one.
struct json *openapi_type(const char *type);

struct openapi_schema {
	const char *name;
	const char *base;    // it has all of that one's members, too; NULL: none
	const char *members; // "name: type|name?: type"; with the question mark it may be left out
};
extern const struct openapi_schema openapi_schemas[];
extern const size_t openapi_schemas_count;

void openapi_add_schemas(struct json *schemas);
// What a type "page Device" or "list Device" stands for, DevicePage or DeviceList, unless it is there; nothing of
// others.
void openapi_add_list(struct json *schemas, const char *type);
