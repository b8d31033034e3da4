// "muster-agent check": what this device is to its fleet, what is wrong with it, and the cure. Changes nothing.
#pragma once

#include "agent/options.h"

#include <stdbool.h>
#include <stddef.h>

enum check_state { CHECK_OK, CHECK_NOTE, CHECK_WRONG };

// What the program ends with (design: interfaces). The first wrong finding decides.
enum check_exit {
	CHECK_EXIT_OK = 0,
	CHECK_EXIT_FAILED = 1,
	CHECK_EXIT_NOT_ENROLLED = 3,
	CHECK_EXIT_NOT_ALLOWED = 4,
	CHECK_EXIT_UNREACHABLE = 5,
	CHECK_EXIT_TIMED_OUT = 6,
	CHECK_EXIT_PARTLY = 7, // works, and needs attention soon
};

struct check_finding {
	const char *name; // "certificate"
	enum check_state state;
	char text[640];
};

#define CHECK_FINDINGS_MAX 7
#define CHECK_EXPIRES_SOON_DAYS 7 // renewal, due at two thirds of the lifetime, does not get through

struct check_report {
	char device[64];
	struct check_finding findings[CHECK_FINDINGS_MAX];
	size_t count;
	enum check_exit exit_code;
};

void check(const struct agent_options *options, struct check_report *out);
void check_print(const struct check_report *report, bool json);
