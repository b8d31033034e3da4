// The database's schema, all of db/migrations in order, for a test's own PostgreSQL.
#pragma once

#include "common/file.h"
#include "common/pg.h"

#include <glob.h>

static inline bool schema_init(struct pg *owner, struct error *error)
{
	glob_t found;
	bool ok = glob(MUSTER_SOURCE_DIR "/db/migrations/*.sql", 0, NULL, &found) == 0; // sorted
	for (size_t i = 0; ok && i < found.gl_pathc; i++) {
		auto_free char *sql = file_read(found.gl_pathv[i], 1 << 20, NULL, error);
		ok = sql && pg_exec(owner, sql, error);
		if (!ok)
			(void)error_prefix(error, "%s", found.gl_pathv[i]);
	}
	globfree(&found);
	return ok;
}
