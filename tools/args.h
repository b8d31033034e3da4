// Command lines by table: the rows give the parser, --help and the messages for misuse.
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define ARGS_OPERANDS_MAX 64
#define ARGS_OPTIONS_MAX 64 // given on one command line, repeated ones included

struct args_option {
	const char *name;  // without the dashes
	const char *value; // its name in --help; NULL: a flag
	const char *description;
};

// A table ends with a row whose name is NULL.
struct args {
	const char *operands[ARGS_OPERANDS_MAX];
	size_t operand_count;
	struct {
		const struct args_option *option;
		const char *value;
	} given[ARGS_OPTIONS_MAX];
	size_t given_count;
};

// Takes "--name value", "--name=value", "--flag" and, after "--", operands only. The texts belong to argv.
bool args_parse(struct args *args, const struct args_option *const *tables, size_t table_count, int argc, char **argv,
		struct error *error) __attribute__((warn_unused_result));

bool args_has(const struct args *args, const char *name);
const char *args_value(const struct args *args, const char *name); // the last given; NULL without
// Walks a repeated option: position starts at 0; NULL after the last.
const char *args_next(const struct args *args, const char *name, size_t *position);
// fallback when it was not given.
bool args_int(const struct args *args, const char *name, long min, long max, long fallback, long *out,
	      struct error *error) __attribute__((warn_unused_result));
// "90" or "90s", "15m", "12h", "7d" in seconds.
bool args_duration(const struct args *args, const char *name, long fallback_s, long *out_s, struct error *error)
	__attribute__((warn_unused_result));

void args_print_options(const struct args_option *options, FILE *out);
