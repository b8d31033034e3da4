// Options are rows of one table per program. From the table come the parser (libconfig syntax), the
// environment overrides, --help, the sample configuration and the checks, with file:line in every error.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum config_type {
	CONFIG_STRING, // char * member, owned by the struct, freed by config_done; without a default "" is NULL
	CONFIG_CHOICE, // likewise, one of the words of default_text, "info|warn", of which the first is the default
	CONFIG_INT,    // long member, min..max
	CONFIG_BOOL,   // bool member
	CONFIG_LIST,   // char ** member, NULL-terminated, owned; default_text is comma-separated
};

struct config_option {
	const char *name; // libconfig path, "broker.host"
	enum config_type type;
	size_t offset;            // of the member in the program's struct
	const char *default_text; // NULL: no default; then required, or NULL/0/false
	long min, max;            // CONFIG_INT; CONFIG_STRING: max length in bytes, 0 for none
	bool required;
	const char *description; // one line: unit, meaning
};

struct config_table {
	const char *program; // "ingest": the environment override of "broker.host" is MUSTER_INGEST_BROKER_HOST
	const struct config_option *options;
	size_t count;
};

// Fills config (zeroed first) with defaults, then the file, then the environment. path may be NULL: defaults and
// environment only. An unknown option, a wrong type or a value out of range fails with error.where "file:line".
bool config_load(const struct config_table *table, const char *path, void *config, struct error *error) must_check;
// Sets one member of config to what text says, as the environment would.
bool config_set(const struct config_table *table, void *config, const char *name, const char *text,
		struct error *error) must_check;
// Member name of a loaded config, a string or a choice; NULL where the table has none.
const char *config_text(const struct config_table *table, const void *config, const char *name);
void config_done(const struct config_table *table, void *config);
void config_print_sample(const struct config_table *table, FILE *out);
