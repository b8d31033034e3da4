#include "tools/args.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MAX_S (10L * 365 * 86400)

static const struct args_option *find(const struct args_option *const *tables, size_t table_count, const char *name,
				      size_t name_bytes)
{
	for (size_t i = 0; i < table_count; i++) {
		for (const struct args_option *option = tables[i]; option->name; option++) {
			if (strlen(option->name) == name_bytes && strncmp(option->name, name, name_bytes) == 0)
				return option;
		}
	}
	return NULL;
}

// Parses argv[*index] (which begins with "--"), moving *index over a separate value.
static bool take_option(struct args *args, const struct args_option *const *tables, size_t table_count, int argc,
			char **argv, int *index, struct error *error)
{
	const char *name = argv[*index] + 2;
	const char *equals = strchr(name, '=');
	size_t name_bytes = equals ? (size_t)(equals - name) : strlen(name);
	const struct args_option *option = find(tables, table_count, name, name_bytes);
	if (!option)
		return error_set(error, ERROR_INVALID, "there is no option --%.*s here", (int)name_bytes, name);
	const char *value = equals ? equals + 1 : NULL;
	if (!option->value && value)
		return error_set(error, ERROR_INVALID, "--%s takes no value", option->name);
	if (option->value && !value) {
		if (*index + 1 >= argc)
			return error_set(error, ERROR_INVALID, "--%s needs a value: %s", option->name, option->value);
		value = argv[++*index];
	}
	if (args->given_count == ARGS_OPTIONS_MAX)
		return error_set(error, ERROR_LIMIT, "more than %d options", ARGS_OPTIONS_MAX);
	args->given[args->given_count].option = option;
	args->given[args->given_count++].value = value;
	return true;
}

bool args_parse(struct args *args, const struct args_option *const *tables, size_t table_count, int argc, char **argv,
		struct error *error)
{
	bool operands_only = false;
	*args = (struct args){0};
	for (int i = 0; i < argc; i++) {
		if (!operands_only && strcmp(argv[i], "--") == 0) {
			operands_only = true;
		} else if (!operands_only && strncmp(argv[i], "--", 2) == 0) {
			if (!take_option(args, tables, table_count, argc, argv, &i, error))
				return false;
		} else if (!operands_only && argv[i][0] == '-' && argv[i][1] != '\0') {
			return error_set(error, ERROR_INVALID, "there is no option %s here", argv[i]);
		} else {
			if (args->operand_count == ARGS_OPERANDS_MAX)
				return error_set(error, ERROR_LIMIT, "more than %d operands", ARGS_OPERANDS_MAX);
			args->operands[args->operand_count++] = argv[i];
		}
	}
	return true;
}

const char *args_next(const struct args *args, const char *name, size_t *position)
{
	while (*position < args->given_count) {
		size_t i = (*position)++;
		if (strcmp(args->given[i].option->name, name) == 0)
			return args->given[i].value ? args->given[i].value : "";
	}
	return NULL;
}

const char *args_value(const struct args *args, const char *name)
{
	const char *last = NULL;
	const char *value;
	for (size_t position = 0; (value = args_next(args, name, &position));)
		last = value;
	return last;
}

bool args_has(const struct args *args, const char *name)
{
	return args_value(args, name) != NULL;
}

bool args_int(const struct args *args, const char *name, long min, long max, long fallback, long *out,
	      struct error *error)
{
	const char *text = args_value(args, name);
	if (!text) {
		*out = fallback;
		return true;
	}
	char *end = NULL;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		return error_set(error, ERROR_INVALID, "--%s \"%s\" is no whole number from %ld to %ld", name, text,
				 min, max);
	*out = value;
	return true;
}

static long unit_seconds(const char *unit)
{
	static const struct {
		const char *unit;
		long seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].unit, unit) == 0)
			return units[i].seconds;
	}
	return 0;
}

bool args_duration(const struct args *args, const char *name, long fallback_s, long *out_s, struct error *error)
{
	const char *text = args_value(args, name);
	if (!text) {
		*out_s = fallback_s;
		return true;
	}
	char *end = NULL;
	errno = 0;
	long count = strtol(text, &end, 10);
	long unit = end == text ? 0 : unit_seconds(end);
	if (errno != 0 || unit == 0 || count < 1 || count > DURATION_MAX_S / unit)
		return error_set(error, ERROR_INVALID, "--%s \"%s\" is no time such as 90s, 15m, 12h or 7d", name,
				 text);
	*out_s = count * unit;
	return true;
}

void args_print_options(const struct args_option *options, FILE *out)
{
	for (const struct args_option *option = options; option->name; option++) {
		int width = fprintf(out, "  --%s%s%s", option->name, option->value ? " " : "",
				    option->value ? option->value : "");
		(void)fprintf(out, "%*s%s\n", width < 26 ? 26 - width : 1, "", option->description);
	}
}
