// The migrations in db/migrations, built in: forward only, checksummed, one transaction each, one runner at a time.
#pragma once

#include "common/crypto.h"
#include "common/error.h"
#include "common/pg.h"

#include <stdbool.h>
#include <stddef.h>

struct migration {
	int version;	  // NNNN of NNNN_name.sql
	const char *name; // "0001_base"
	const char *sql;  // the file, NUL-terminated
};

enum migration_state {
	MIGRATION_PENDING,
	MIGRATION_APPLIED,
	MIGRATION_CHANGED, // applied from a file with other contents
	MIGRATION_UNKNOWN, // in the database, but not built in: made by a newer program
};

struct migration_status {
	int version;
	char name[64];
	enum migration_state state;
	char applied_at[40]; // empty while pending
};

#define MIGRATIONS_MAX 500

const char *migration_state_name(enum migration_state state);
// Those built in, in order of version.
const struct migration *migrations(size_t *count);

// Applies what is pending, as the owner of the database; refuses (ERROR_INVALID) when one that was applied has
// changed or is unknown. *applied is how many.
bool migrate(struct pg *pg, const struct migration *list, size_t count, size_t *applied,
	     struct error *error) must_check;
// Built-in and recorded ones together, in order of version, at most max; *out_count tells how many.
bool migrate_status(struct pg *pg, const struct migration *list, size_t count, struct migration_status *out, size_t max,
		    size_t *out_count, struct error *error) must_check;
