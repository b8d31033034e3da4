// The kinds of alert rules and their parameters: one table for the API (which checks rules), commander (which evaluates
// them), the CLI's help and the page's form. Pure.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>

// What an alert of that kind is about.
enum alert_object {
	ALERT_DEVICE,	    // a device that the rule's query matches
	ALERT_CAMPAIGN,	    // of the rule's tenant
	ALERT_TENANT,	    // all that belongs to it together
	ALERT_INSTALLATION, // a cell or a commander: only rules of the tenant "default"
};

struct alert_param {
	const char *name;
	const char *label;    // what a form calls it
	enum json_type type;  // JSON_INT, JSON_DOUBLE or JSON_STRING
	double min, max;      // of a number; of a text: its length in bytes
	const char *fallback; // JSON text; NULL: it must be given
	const char *unit;     // "s", "%", "d" (days), or ""
	const char *description;
	const char *const *choices; // of a text: the only ones, ending with NULL; NULL: any
};

struct alert_kind {
	const char *name;
	const char *title;
	enum alert_object object;
	bool by_hand; // a person may clear it although what it is about does not go away by itself
	const struct alert_param *params;
	size_t param_count;
	const char *description;
	// The sentence of common/alert_words.h: {param} is its value with its unit, {param|one|many} a number of
	// things, {back} the threshold less the margin; what stands in [param:..] is left out where it is 0, and in
	// [param=text:..] where it is something else.
	const char *words;
};

const struct alert_kind *alert_kind_find(const char *name); // NULL when there is no such kind
const struct alert_kind *alert_kind_table(size_t *count);

// params: an object, NULL is {}. *out: the same with what was left out filled in. ERROR_INVALID names the member.
bool alert_kind_check(const struct alert_kind *kind, const struct json *params, struct json **out,
		      struct error *error) must_check;
// {"kind","title","object","by_hand","description","params":<JSON Schema, with "title", "default" and "x-unit">}
struct json *alert_kind_describe(const struct alert_kind *kind) must_check;

// 1 to 3; 0 when it is none.
int alert_severity_rank(const char *severity);
