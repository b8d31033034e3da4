// Filters and groups of the database, for query_compile.
#pragma once

#include "common/pg.h"
#include "common/query.h"

// user: a struct pg with a connection.
bool query_pg_resolve(void *user, enum query_kind kind, const char *name, char **out, struct error *error) must_check;
