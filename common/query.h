// The language in which people say which devices they mean: `status:offline tag:kiosk battery<20`. Compiled to an SQL
// condition whose values are parameters; no text of the query ever becomes SQL. Grammar: docs/protocol.md, section 18.
#pragma once

#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define QUERY_TEXT_MAX 4096   // of one query
#define QUERY_TERMS_MAX 64    // with those of the filters and groups that it names
#define QUERY_PARAMS_MAX 128
#define QUERY_DEPTH_MAX 4     // filters and groups that name others
#define QUERY_VALUE_MAX 256   // bytes of one value

// What is behind a name.
enum query_kind { QUERY_FILTER, QUERY_GROUP };

// Finds the query of a saved filter or of a group: *out is malloc'd, or NULL for a group whose members are listed.
// False when there is none of that name (ERROR_NOT_FOUND), or when it cannot be said.
typedef bool query_resolve_fn(void *user, enum query_kind kind, const char *name, char **out, struct error *error);

struct query_options {
	size_t first_param; // the number of the first $n of the condition; 0 counts as 1
	query_resolve_fn *resolve; // NULL: filter: and group: are refused
	void *user;
	bool roster; // the condition is on device_roster r (db/migrations/0028_roster.sql) instead
};

struct query {
	struct buf sql;	  // a condition on device d and its device_state s, in parentheses; "true" for the empty query
	char *params[QUERY_PARAMS_MAX];
	size_t count;
	size_t first_param;
	size_t terms;
};

// False fills error: ERROR_INVALID says what is wrong, where and what may stand there. out is made on success only.
bool query_compile(const char *text, const struct query_options *options, struct query *out, struct error *error)
	must_check;
void query_done(struct query *query);
#define auto_query cleanup(query_done)

// Whether a name fits groups and filters: [a-z0-9][a-z0-9._-]{0,62}.
bool query_is_name(const char *text);

// In a query a name may have its tenant before it, as in acme/kiosks; without one it is of the tenant for which the
// statement runs.
#define QUERY_NAMED_SQL(tenant, name, value)                                                                  \
	"(" tenant " = case when " value " like '%/%' then split_part(" value ", '/', 1) else current_tenant() end" \
	" and " name " = case when " value " like '%/%' then split_part(" value ", '/', 2) else " value " end)"
