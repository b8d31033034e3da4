// A list for people (aligned columns) and for programs (JSON), from one description, over libsmartcols.
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct table;

struct table_column {
	const char *name; // JSON member; the heading is the same in capitals
	bool number;	  // right-aligned; a number in JSON
	bool boolean;
};

// name: the JSON member that holds the rows.
struct table *table_new(const char *name, const struct table_column *columns, size_t count);
void table_free(struct table *table);
DEFINE_CLEANUP(struct table, table_free)
#define auto_table cleanup(table_free_cleanup)

// One text for each column, copied; NULL is empty.
void table_row(struct table *table, const char *const *cells);
#define TABLE_ROW(table, ...) table_row(table, (const char *const[]){__VA_ARGS__})
// On stdout.
void table_print(struct table *table, bool json);
