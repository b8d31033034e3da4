// What can be exported: the columns of each kind, and the statement that reads them.
#pragma once

#include "common/buf.h"
#include "common/query.h"
#include "dashboard/export_format.h"

#include <stdbool.h>
#include <stddef.h>

#define EXPORT_COLUMNS_MAX 32
#define EXPORT_STATEMENT_MAX 131072
// The statement's parameters: device (null: any), from and to (ms since 1970; null: any); the query's follow.
#define EXPORT_QUERY_PARAM 4

struct export_column {
	const char *name, *sql;
	enum export_type type;
};

struct export_kind {
	const char *name;
	const char *from;  // tables, d and s being those that a query is about
	const char *time;  // what from and to are about; NULL: they have no meaning
	const char *order; // one that an index gives, so that rows come at once
	bool by_device;	   // device and query have a meaning
	const struct export_column *columns;
	size_t column_count;
};

const struct export_kind *export_kind_find(const char *name); // NULL: none
const struct export_column *export_column_find(const struct export_kind *kind, const char *name);
// query may be NULL where it has no meaning.
bool export_statement(const struct export_kind *kind, const struct export_column *const *columns, size_t count,
		      const struct query *query, struct buf *out) must_check;
