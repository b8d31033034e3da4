// A PostgreSQL connection over libpq. Blocking calls: a daemon that must not stall keeps its database work short
// or on a connection of its own. Every failure fills error.what with the server's message and error.where with
// the SQLSTATE; a lost connection is ERROR_UNREACHABLE, and pg_ready reconnects.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg;
struct pg_result;

// Makes the object without connecting; conninfo as in libpq (multi-host lists work).
struct pg *pg_new(const char *conninfo, const char *application_name, struct error *error) must_check;
void pg_free(struct pg *pg);
DEFINE_CLEANUP(struct pg, pg_free)
// Connects if there is no connection; honours a backoff with full jitter between tries (ERROR_UNREACHABLE at once
// while it lasts). After a reconnect, prepared statements and LISTENs are made again by on_connect.
bool pg_ready(struct pg *pg, struct error *error) must_check;
bool pg_connected(const struct pg *pg);
void pg_on_connect(struct pg *pg, bool (*fn)(struct pg *pg, void *user, struct error *error), void *user);
void pg_disconnect(struct pg *pg);
// How long the server may take to answer one call before the connection counts as lost; PG_ANSWER_TIMEOUT_MS unless
// set, 0 for no limit (migrations).
void pg_set_timeout(struct pg *pg, int timeout_ms);
// While fd is readable, whatever waits for the server gives up, and the connection counts as lost: for a thread that
// others want to end. -1 (as it is at first): none.
void pg_interrupt_fd(struct pg *pg, int fd);
// fn is called each second in which a call waits for the server, so that what else is due goes on. It must not use pg.
// Making a connection is not such a call: that takes PG_CONNECT_TIMEOUT_S at most for each host.
void pg_while_waiting(struct pg *pg, void (*fn)(void *user), void *user);

bool pg_exec(struct pg *pg, const char *sql, struct error *error) must_check; // no parameters, no rows
// Text parameters, $1 to $n; a NULL element is SQL null. *out may be NULL when rows do not matter.
bool pg_query(struct pg *pg, struct pg_result **out, struct error *error, const char *sql, size_t count,
	      const char *const *params) must_check;
// Variadic form: PG_QUERY(pg, &result, error, "select ... $1", id)
#define PG_QUERY(pg, out, error, sql, ...)                                                                  \
	pg_query(pg, out, error, sql, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), \
		 (const char *const[]){__VA_ARGS__})
// As pg_query, for any number of rows in little memory: fn is called with each, as row 0 of a result that is gone
// afterwards. When fn returns false (having filled error) the rest is not read, and the connection is closed.
typedef bool pg_row_fn(const struct pg_result *row, void *user, struct error *error);
bool pg_each(struct pg *pg, pg_row_fn *fn, void *user, struct error *error, const char *sql, size_t count,
	     const char *const *params) must_check;
bool pg_prepare(struct pg *pg, const char *name, const char *sql, struct error *error) must_check;
bool pg_run(struct pg *pg, struct pg_result **out, struct error *error, const char *name, size_t count,
	    const char *const *params) must_check; // a prepared statement

bool pg_begin(struct pg *pg, struct error *error) must_check;
bool pg_commit(struct pg *pg, struct error *error) must_check; // false if the server answered ROLLBACK
void pg_rollback(struct pg *pg);                               // never fails: a broken connection is closed

// COPY ... FROM STDIN in text or binary form.
bool pg_copy_start(struct pg *pg, const char *sql, struct error *error) must_check;
bool pg_copy_write(struct pg *pg, const void *data, size_t len_bytes, struct error *error) must_check;
bool pg_copy_end(struct pg *pg, struct error *error) must_check;

void pg_result_free(struct pg_result *result);
DEFINE_CLEANUP(struct pg_result, pg_result_free)
#define auto_pg_result cleanup(pg_result_free_cleanup)
size_t pg_rows(const struct pg_result *result);
size_t pg_affected(const struct pg_result *result); // rows inserted, updated or deleted
const char *pg_text(const struct pg_result *result, size_t row, size_t column); // NULL for SQL null
int64_t pg_int(const struct pg_result *result, size_t row, size_t column);      // 0 for SQL null
bool pg_bool(const struct pg_result *result, size_t row, size_t column);

// LISTEN: watch pg_fd for reading, then call pg_notifications, which calls fn for each. A notification that came
// in together with the answer to a statement no longer shows on pg_fd: call it after statements of one's own too.
int pg_fd(const struct pg *pg); // -1 without connection; changes at each reconnect
bool pg_notifications(struct pg *pg, void (*fn)(void *user, const char *channel, const char *payload), void *user,
		      struct error *error) must_check;

// error.where after a failed statement: "23505" is a duplicate key, "40001" serialization, and so on.
bool pg_sqlstate_is(const struct error *error, const char *sqlstate);
// The row itself is at fault (SQLSTATE classes 22 and 23), so that trying again is of no use.
bool pg_error_is_data(const struct error *error);
