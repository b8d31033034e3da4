#include "dashboard/scope.h"

#include <string.h>

static const char SCOPE_SQL[] = "select set_config('muster.user', $1, false), set_config('muster.tenant', $2, false),"
				" set_config('muster.groups', $3, false)";

bool scope_is_all(const struct scope *scope)
{
	return strcmp(scope->tenant, "*") == 0 && scope->groups[0] == '\0';
}

// Whether the list "a,b" has this name.
static bool has_name(const char *list, const char *name, size_t length)
{
	for (const char *at = list; *at; at += *at == ',') {
		size_t word = strcspn(at, ",");

		if (word == length && strncmp(at, name, length) == 0)
			return true;
		at += word;
	}
	return false;
}

bool scope_sees(const struct scope *scope, const char *tenant, const char *groups)
{
	if (strcmp(scope->tenant, "*") != 0 && (scope->tenant[0] == '\0' || strcmp(scope->tenant, tenant) != 0))
		return false;
	if (scope->groups[0] == '\0')
		return true;
	for (const char *at = groups ? groups : ""; *at; at += *at == ',') {
		size_t word = strcspn(at, ",");

		if (has_name(scope->groups, at, word))
			return true;
		at += word;
	}
	return false;
}

bool scope_enter(struct pg *pg, const char *user, const struct scope *scope, struct error *error)
{
	return pg_ready(pg, error) && PG_QUERY(pg, NULL, error, SCOPE_SQL, user, scope->tenant, scope->groups);
}

bool scope_enter_all(struct pg *pg, struct error *error)
{
	static const struct scope all = {.tenant = "*"};

	return scope_enter(pg, "", &all, error);
}

void scope_leave(struct pg *pg)
{
	// Without a connection there is no scope either: a new one begins with nobody.
	if (pg_connected(pg) && !PG_QUERY(pg, NULL, NULL, SCOPE_SQL, "", "", ""))
		pg_disconnect(pg);
}
