// The actions that a command may name, and what their parameters must be: one table for commander (which refuses a
// bad request), the agent (which refuses a bad command) and whoever offers actions to people. Pure.
#pragma once

#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct action_param {
	const char *name;
	enum json_type type; // JSON_INT, JSON_STRING or JSON_BOOL
	bool required;
	int64_t min, max;	 // JSON_INT: the value; JSON_STRING: its length in bytes
	const char *description; // one line: unit, meaning
};

struct action {
	const char *name;
	const struct action_param *params;
	size_t param_count;
	bool destructive; // interrupts the device's work: people are asked before it is sent
	const char *description;
};

// NULL when there is no such action.
const struct action *action_find(const char *name);
const struct action *action_table(size_t *count);

// params: an object; NULL is {}. ERROR_INVALID names the member, what it is and what it may be: an unknown member,
// a missing one, another type, out of range.
bool action_check_params(const struct action *action, const struct json *params, struct error *error) must_check;
