// The options of a command of the agent, beside those of every program (common/daemon.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct argument {
	const char *name;   // "--device"
	const char **value; // of "--device ID" or "--device=ID"; "" when it is missing. NULL: a flag
	bool *given;        // may be NULL when there is a value
};

// Takes ours out of argv, which then ends in NULL; returns how many are left.
int arguments_take(const struct argument *arguments, size_t count, int argc, char **argv);
