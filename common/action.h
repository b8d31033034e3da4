// The actions that a command may name, and what their parameters must be: one table for commander (which refuses a
// bad request), the agent (which refuses a bad command) and whoever offers actions to people. Pure.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a string may look like, beyond its length.
enum action_form {
	ACTION_ANY,
	ACTION_NAME,    // of an app, a package or a service: cannot be taken for an option, a path or a pattern
	ACTION_DEVICE,  // a device id
	ACTION_COMMAND, // a command id
};

struct action_param {
	const char *name;
	enum json_type type; // JSON_INT, JSON_STRING, JSON_BOOL, JSON_OBJECT or JSON_ARRAY (of strings)
	bool required;
	// JSON_INT: the value; JSON_STRING: its length in bytes; JSON_ARRAY and JSON_OBJECT: how many members.
	int64_t min, max;
	const char *description;    // one line: unit, meaning
	const char *const *choices; // JSON_STRING: the only values, ending with NULL; NULL: any
	enum action_form form;      // JSON_STRING
};

enum action_platform { ACTION_LINUX = 1, ACTION_ANDROID = 2, ACTION_EVERYWHERE = 3 };

struct action {
	const char *name;
	const struct action_param *params;
	size_t param_count;
	unsigned platforms; // bits of enum action_platform
	int64_t timeout_s;  // from accepted to finished, after which nobody waits for it
	bool destructive;   // may cost work or data: it needs to be confirmed
	bool cancellable;   // while it runs
	bool internal;      // made by commander itself; nobody can ask for it
	const char *description;
};

#define ACTION_ELEMENT_MAX_BYTES 4096 // of an array

// NULL when there is no such action.
const struct action *action_find(const char *name);
const struct action *action_table(size_t *count);

// params: an object; NULL is {}. ERROR_INVALID names the member, what it is and what it may be: an unknown member,
// a missing one, another type, out of range.
bool action_check_params(const struct action *action, const struct json *params, struct error *error) must_check;

// What the parameters may be, as a JSON Schema (2020-12).
struct json *action_schema(const struct action *action) must_check;
// Appends all that can be asked for:
// {"action","description","destructive","cancellable","platforms":["linux","android"],"timeout_s","params":<schema>}
void action_list(struct json *items);
