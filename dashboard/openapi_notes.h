// What the routes' table does not say of a route: a sentence, the parameters of its query, the members of its body,
// the errors that are its own, and what it answers. tests/unit/dashboard/openapi_test.c holds it against the table.
#pragma once

#include <stddef.h>

struct openapi_note {
	const char *method, *pattern;
	const char *summary;
	const char *query;  // "name: what it does|name: ..."; NULL: none
	const char *body;   // likewise, the members of the JSON body; NULL: none
	const char *errors; // "409: when"; beside those that follow from the route itself; NULL: none
	// "200: page Device|202: Bulk": the statuses of good answers, each with the type of its JSON
	// (openapi_schemas.h) or another media type, or several; "204:" has no body.
	const char *answers;
};

// NULL: there is none.
const struct openapi_note *openapi_note(const char *method, const char *pattern);

extern const struct openapi_note openapi_notes[];
extern const size_t openapi_notes_count;
