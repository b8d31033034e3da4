#include "tools/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sql_table[] = "create table if not exists schema_migration ("
				" version integer primary key, name text not null, sha256 text not null,"
				" applied_at timestamptz not null default now())";
static const char sql_has_table[] = "select to_regclass('public.schema_migration') is not null";
static const char sql_lock[] = "select pg_advisory_lock(hashtext('muster.migrate'))";
static const char sql_unlock[] = "select pg_advisory_unlock(hashtext('muster.migrate'))";
static const char sql_recorded[] = "select version, name, sha256, to_char(applied_at at time zone 'UTC',"
				   " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') from schema_migration order by version";
static const char sql_record[] = "insert into schema_migration (version, name, sha256) values ($1, $2, $3)";

const char *migration_state_name(enum migration_state state)
{
	static const char *const names[] = {
		[MIGRATION_PENDING] = "pending",
		[MIGRATION_APPLIED] = "applied",
		[MIGRATION_CHANGED] = "changed",
		[MIGRATION_UNKNOWN] = "unknown",
	};
	return names[state];
}

static struct migration_status *find(struct migration_status *list, size_t count, int version)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].version == version)
			return &list[i];
	}
	return NULL;
}

static const struct migration *built_in(const struct migration *list, size_t count, int version)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].version == version)
			return &list[i];
	}
	return NULL;
}

static int by_version(const void *a, const void *b)
{
	return ((const struct migration_status *)a)->version - ((const struct migration_status *)b)->version;
}

static void take_recorded(const struct pg_result *recorded, size_t row, const struct migration *known,
			  struct migration_status *status)
{
	char sha256[SHA256_HEX_BYTES];
	(void)snprintf(status->name, sizeof(status->name), "%s", pg_text(recorded, row, 1));
	(void)snprintf(status->applied_at, sizeof(status->applied_at), "%s", pg_text(recorded, row, 3));
	status->version = (int)pg_int(recorded, row, 0);
	status->state = MIGRATION_UNKNOWN;
	if (!known)
		return;
	crypto_sha256_hex(known->sql, strlen(known->sql), sha256);
	status->state = strcmp(sha256, pg_text(recorded, row, 2)) == 0 ? MIGRATION_APPLIED : MIGRATION_CHANGED;
}

bool migrate_status(struct pg *pg, const struct migration *list, size_t count, struct migration_status *out, size_t max,
		    size_t *out_count, struct error *error)
{
	auto_pg_result struct pg_result *exists = NULL;
	auto_pg_result struct pg_result *recorded = NULL;
	size_t used = 0;
	if (!pg_query(pg, &exists, error, sql_has_table, 0, NULL))
		return false;
	if (pg_bool(exists, 0, 0) && !pg_query(pg, &recorded, error, sql_recorded, 0, NULL))
		return false;
	size_t rows = recorded ? pg_rows(recorded) : 0;
	if (rows + count > max)
		return error_set(error, ERROR_LIMIT, "more than %zu migrations", max);
	for (size_t row = 0; row < rows; row++)
		take_recorded(recorded, row, built_in(list, count, (int)pg_int(recorded, row, 0)), &out[used++]);
	for (size_t i = 0; i < count; i++) {
		if (find(out, used, list[i].version))
			continue;
		struct migration_status *status = &out[used++];
		*status = (struct migration_status){.version = list[i].version, .state = MIGRATION_PENDING};
		(void)snprintf(status->name, sizeof(status->name), "%s", list[i].name);
	}
	qsort(out, used, sizeof(*out), by_version);
	*out_count = used;
	return true;
}

static bool apply(struct pg *pg, const struct migration *migration, struct error *error)
{
	char version[16];
	char sha256[SHA256_HEX_BYTES];
	(void)snprintf(version, sizeof(version), "%d", migration->version);
	crypto_sha256_hex(migration->sql, strlen(migration->sql), sha256);
	if (!pg_begin(pg, error))
		return false;
	if (!pg_exec(pg, migration->sql, error) ||
	    !PG_QUERY(pg, NULL, error, sql_record, version, migration->name, sha256) || !pg_commit(pg, error)) {
		pg_rollback(pg);
		return error_prefix(error, "migration %s", migration->name);
	}
	return true;
}

static bool check(const struct migration_status *status, size_t count, struct error *error)
{
	int latest = 0;
	for (size_t i = 0; i < count; i++) {
		if (status[i].state == MIGRATION_CHANGED)
			return error_set(error, ERROR_INVALID, "migration %s has changed since it was applied at %s",
					 status[i].name, status[i].applied_at);
		if (status[i].state == MIGRATION_UNKNOWN)
			return error_set(error, ERROR_INVALID,
					 "the database has migration %s, which this program does not know",
					 status[i].name);
		if (status[i].state == MIGRATION_APPLIED)
			latest = status[i].version;
	}
	for (size_t i = 0; i < count; i++) {
		if (status[i].state == MIGRATION_PENDING && status[i].version < latest)
			return error_set(error, ERROR_INVALID,
					 "migration %s comes before %04d, which is applied already", status[i].name,
					 latest);
	}
	return true;
}

static bool run(struct pg *pg, const struct migration *list, size_t count, size_t *applied, struct error *error)
{
	auto_free struct migration_status *status = calloc(MIGRATIONS_MAX, sizeof(*status));
	size_t known = 0;
	if (!status)
		return error_set(error, ERROR_LIMIT, "no memory");
	if (!pg_exec(pg, sql_table, error) || !migrate_status(pg, list, count, status, MIGRATIONS_MAX, &known, error) ||
	    !check(status, known, error))
		return false;
	for (size_t i = 0; i < known; i++) {
		if (status[i].state != MIGRATION_PENDING)
			continue;
		const struct migration *pending = built_in(list, count, status[i].version);
		if (!pending || !apply(pg, pending, error))
			return false;
		(*applied)++;
	}
	return true;
}

bool migrate(struct pg *pg, const struct migration *list, size_t count, size_t *applied, struct error *error)
{
	*applied = 0;
	if (!pg_query(pg, NULL, error, sql_lock, 0, NULL))
		return false;
	bool ok = run(pg, list, count, applied, error);
	// A connection that broke has given the lock back by itself.
	struct error unlock_error;
	if (pg_connected(pg) && !pg_query(pg, NULL, &unlock_error, sql_unlock, 0, NULL))
		pg_disconnect(pg);
	return ok;
}
