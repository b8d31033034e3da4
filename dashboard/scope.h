// For whom a statement runs: the database shows and takes only the rows of that scope (docs/protocol.md, section 20).
// The requests' connection is put into the scope of whoever asks by auth_before; whatever else uses a connection says
// for whom, each time.
#pragma once

#include "common/pg.h"

#include <stdbool.h>

#define SCOPE_TENANT_MAX 64
#define SCOPE_GROUPS_MAX (32 * 64 + 1) // 32 names, with commas

struct scope {
	char tenant[SCOPE_TENANT_MAX]; // "*": all tenants; "": nobody
	char groups[SCOPE_GROUPS_MAX]; // "a,b": of the tenant's devices only those of these groups; "": all
};

// Everything is seen.
bool scope_is_all(const struct scope *scope);
// Whether a device of this tenant, in these groups ("a,b"; NULL or "" for none), is seen.
bool scope_sees(const struct scope *scope, const char *tenant, const char *groups);

// From now on the connection sees and does what this person may; user "" acts nowhere.
bool scope_enter(struct pg *pg, const char *user, const struct scope *scope, struct error *error) must_check;
// Work for everybody: sees all, changes nothing that belongs to a device.
bool scope_enter_all(struct pg *pg, struct error *error) must_check;
// Nobody is known yet: sees accounts and nothing else. A connection that cannot be told so is closed.
void scope_leave(struct pg *pg);
