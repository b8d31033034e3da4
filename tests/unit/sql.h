// A real PostgreSQL with the project's migrations, asked and told by its owner.
#pragma once

#include "common/clock.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"
#include "tests/unit/support/schema.h"

static struct postgres postgres;
static struct pg *admin;

static inline void exec(const char *sql)
{
	struct error error = {0};
	if (!pg_ready(admin, &error) || !pg_exec(admin, sql, &error))
		fail_msg("%.200s: %s", sql, error.what);
}

static inline int64_t number(const char *sql)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(admin, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	return pg_int(result, 0, 0);
}

// What the query gives, as one text of words ("" for none), compared with what it should be.
static inline void says(const char *sql, const char *expected)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(admin, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	const char *text = pg_text(result, 0, 0);
	if (strcmp(text ? text : "", expected) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", sql, text ? text : "", expected);
}

// Until the server, which listens before it answers, lets us in.
static inline void await_ready(struct pg *pg)
{
	struct error error = {0};
	for (int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS; !pg_ready(pg, &error);) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%s", error.what);
		process_pause();
	}
}

static inline struct pg *connect_as(const char *user)
{
	char conninfo[128];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=%s dbname=postgres", postgres.port,
		       user);
	struct pg *pg = pg_new(conninfo, "unit-test", &error);
	assert_non_null(pg);
	await_ready(pg);
	return pg;
}

// The server in this folder, the owner's connection, and the schema.
static inline bool sql_init(const char *folder)
{
	struct error error = {0};
	if (!postgres_init(&postgres, folder))
		return false;
	admin = connect_as("muster");
	if (schema_init(admin, &error))
		return true;
	(void)fprintf(stderr, "%s\n", error.what);
	return false;
}

static inline void sql_done(void)
{
	pg_free(admin);
	postgres_stop(&postgres);
}
