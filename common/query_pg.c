#include "common/query_pg.h"

#include <stdlib.h>
#include <string.h>

static const char *const find_sql[] = {
	[QUERY_FILTER] = "select query from saved_filter where " QUERY_NAMED_SQL("tenant", "name", "$1"),
	[QUERY_GROUP] = "select query from device_group where " QUERY_NAMED_SQL("tenant", "name", "$1"),
};

bool query_pg_resolve(void *user, enum query_kind kind, const char *name, char **out, struct error *error)
{
	static const char *const nouns[] = {[QUERY_FILTER] = "filter", [QUERY_GROUP] = "group"};
	auto_pg_result struct pg_result *row = NULL;

	if (!PG_QUERY(user, &row, error, find_sql[kind], name))
		return false;
	if (pg_rows(row) == 0)
		return error_set(error, ERROR_NOT_FOUND, "there is no %s \"%s\"; muster %s list shows them",
				 nouns[kind], name, nouns[kind]);
	*out = pg_text(row, 0, 0) ? strdup(pg_text(row, 0, 0)) : NULL;
	return !pg_text(row, 0, 0) || *out || error_set(error, ERROR_FAILED, "no memory for a query");
}
