// Every wait has an end: libpq is used without its blocking calls, and a server that does not answer within
// PG_ANSWER_TIMEOUT_MS (a stopped process acknowledges at TCP level for ever) counts as lost.
#include "common/pg.h"

#include "common/clock.h"
#include "common/limits.h"

#include <errno.h>
#include <libpq-fe.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct pg {
	PGconn *conn; // NULL without connection
	char *conninfo;
	char *application_name;
	bool (*on_connect)(struct pg *pg, void *user, struct error *error);
	void *on_connect_user;
	int answer_timeout_ms; // 0: none
	int interrupt_fd;      // -1: none
	void (*waiting)(void *user);
	void *waiting_user;
	unsigned attempt;
	int64_t next_try_ms;  // monotonic
	int64_t connected_ms; // monotonic
	bool preparing;	      // inside on_connect
	struct error refusal; // why the last try failed, told again while the backoff lasts
};

// struct pg_result is a PGresult under a name of our own.
static const PGresult *native(const struct pg_result *result)
{
	return (const PGresult *)result;
}

static void clear_result_cleanup(PGresult **result)
{
	PQclear(*result);
}
#define auto_result cleanup(clear_result_cleanup)

// libpq's messages run over several lines and end in a newline.
static void one_line(char *out, size_t out_bytes, const char *message)
{
	size_t len_bytes = 0;
	for (; *message && len_bytes + 1 < out_bytes; message++) {
		if (*message != '\n')
			out[len_bytes++] = (char)(*message == '\t' ? ' ' : *message);
		else if (message[1])
			out[len_bytes++] = ' ';
	}
	out[len_bytes] = '\0';
}

struct pg *pg_new(const char *conninfo, const char *application_name, struct error *error)
{
	char *message = NULL;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &message);
	if (!parsed) {
		// The text may hold a password, and libpq's message may quote it.
		PQfreemem(message);
		error_set(error, ERROR_INVALID, "the database connection string is malformed");
		return NULL;
	}
	PQconninfoFree(parsed);

	struct pg *pg = calloc(1, sizeof(*pg));
	if (pg) {
		pg->conninfo = strdup(conninfo);
		pg->application_name = strdup(application_name);
		pg->answer_timeout_ms = PG_ANSWER_TIMEOUT_MS;
		pg->interrupt_fd = -1;
	}
	if (!pg || !pg->conninfo || !pg->application_name) {
		pg_free(pg);
		error_errno(error, ENOMEM, "cannot make a database connection");
		return NULL;
	}
	return pg;
}

static void close_connection(struct pg *pg)
{
	PQfinish(pg->conn);
	pg->conn = NULL;
}

void pg_free(struct pg *pg)
{
	if (!pg)
		return;
	close_connection(pg);
	free(pg->conninfo);
	free(pg->application_name);
	free(pg);
}

void pg_disconnect(struct pg *pg)
{
	close_connection(pg);
	pg->next_try_ms = 0;
	pg->attempt = 0;
}

void pg_set_timeout(struct pg *pg, int timeout_ms)
{
	pg->answer_timeout_ms = timeout_ms;
}

void pg_interrupt_fd(struct pg *pg, int fd)
{
	pg->interrupt_fd = fd;
}

static void back_off(struct pg *pg)
{
	pg->next_try_ms = clock_mono_ms() + clock_backoff_ms(pg->attempt, PG_BACKOFF_BASE_MS, PG_BACKOFF_MAX_MS);
	if (pg->attempt < 30)
		pg->attempt++;
}

// The connection is of no more use. error is already filled.
static void lost(struct pg *pg, const struct error *error)
{
	close_connection(pg);
	pg->refusal = *error;
	if (clock_mono_ms() - pg->connected_ms >= PG_STABLE_MS) {
		pg->attempt = 0;
		pg->next_try_ms = 0;
	} else if (!pg->preparing) { // otherwise pg_ready backs off
		back_off(pg);
	}
}

static bool lost_error(struct pg *pg, struct error *error, enum error_kind kind, const char *doing)
{
	char message[sizeof(error->what)];
	struct error local = {0};
	one_line(message, sizeof(message), PQerrorMessage(pg->conn));
	error_set(&local, kind, "database: %s: %.400s", doing, message[0] ? message : "the connection is lost");
	lost(pg, &local);
	if (error)
		*error = local;
	return false;
}

static bool not_connected(struct error *error)
{
	return error_set(error, ERROR_UNREACHABLE, "database: there is no connection");
}

static void ignore_notice(void *user, const PGresult *result)
{
}

static PGconn *open_connection(const struct pg *pg)
{
	char connect_timeout[16];
	(void)snprintf(connect_timeout, sizeof(connect_timeout), "%d", PG_CONNECT_TIMEOUT_S);
	// Entries before dbname are defaults that the connection string may override.
	const char *const keywords[] = {"connect_timeout",  "keepalives_idle",	"keepalives_interval",
					"keepalives_count", "tcp_user_timeout", "fallback_application_name",
					"dbname",	    "client_encoding",	NULL};
	const char *const values[] = {connect_timeout,	    "10",	  "5",	  "3", "25000",
				      pg->application_name, pg->conninfo, "UTF8", NULL};
	return PQconnectdbParams(keywords, values, 1);
}

static bool connect_now(struct pg *pg, struct error *error)
{
	pg->conn = open_connection(pg);
	pg->connected_ms = clock_mono_ms();
	if (!pg->conn)
		return error_errno(error, ENOMEM, "database: cannot connect");
	if (PQstatus(pg->conn) != CONNECTION_OK || PQsetnonblocking(pg->conn, 1) != 0) {
		char message[sizeof(error->what)];
		one_line(message, sizeof(message), PQerrorMessage(pg->conn));
		close_connection(pg);
		return error_set(error, ERROR_UNREACHABLE, "database: cannot connect: %.400s", message);
	}
	PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
	if (!pg->on_connect)
		return true;
	pg->preparing = true;
	bool ok = pg->on_connect(pg, pg->on_connect_user, error);
	pg->preparing = false;
	if (!ok)
		close_connection(pg);
	return ok;
}

// A server that went away while nothing was asked of it shows as a readable socket: its farewell first, then the end.
static bool still_there(struct pg *pg)
{
	enum { READS_MAX = 16 }; // it may be sending notifications all the time
	for (int i = 0; i < READS_MAX && PQstatus(pg->conn) == CONNECTION_OK; i++) {
		struct pollfd watch = {.fd = PQsocket(pg->conn), .events = POLLIN};
		if (poll(&watch, 1, 0) <= 0)
			return true;
		if (PQconsumeInput(pg->conn) != 1)
			return false;
	}
	return PQstatus(pg->conn) == CONNECTION_OK;
}

bool pg_ready(struct pg *pg, struct error *error)
{
	if (pg->conn) {
		if (pg->preparing || still_there(pg))
			return true;
		(void)lost_error(pg, NULL, ERROR_UNREACHABLE, "while idle");
	}
	if (clock_mono_ms() < pg->next_try_ms) {
		if (error) {
			*error = pg->refusal;
			error->kind = ERROR_UNREACHABLE;
		}
		return false;
	}
	struct error local = {0};
	if (connect_now(pg, &local)) {
		pg->next_try_ms = 0;
		return true;
	}
	back_off(pg);
	pg->refusal = local;
	if (error)
		*error = local;
	return false;
}

bool pg_connected(const struct pg *pg)
{
	return pg->conn && PQstatus(pg->conn) == CONNECTION_OK;
}

void pg_on_connect(struct pg *pg, bool (*fn)(struct pg *pg, void *user, struct error *error), void *user)
{
	pg->on_connect = fn;
	pg->on_connect_user = user;
}

void pg_while_waiting(struct pg *pg, void (*fn)(void *user), void *user)
{
	pg->waiting = fn;
	pg->waiting_user = user;
}

enum wait { READY, LATE, INTERRUPTED, BROKEN };

// Waits for the socket until deadline_ms (0: for ever).
static enum wait wait_socket(struct pg *pg, short events, int64_t deadline_ms)
{
	struct pollfd watched[] = {
		{.fd = PQsocket(pg->conn), .events = events},
		{.fd = pg->interrupt_fd, .events = POLLIN}, // poll passes over a negative one
	};
	if (watched[0].fd < 0)
		return BROKEN;
	for (;;) {
		int64_t left_ms = deadline_ms > 0 ? deadline_ms - clock_mono_ms() : INT_MAX;
		if (left_ms <= 0)
			return LATE;
		if (left_ms > PG_WAITING_MS)
			left_ms = PG_WAITING_MS;
		int ready = poll(watched, 2, (int)left_ms);
		if (ready > 0)
			return watched[1].revents ? INTERRUPTED : READY;
		if (ready < 0 && errno != EINTR)
			return BROKEN;
		if (pg->waiting)
			pg->waiting(pg->waiting_user);
	}
}

static int64_t deadline(const struct pg *pg)
{
	return pg->answer_timeout_ms > 0 ? clock_mono_ms() + pg->answer_timeout_ms : 0;
}

static bool wait_or_lose(struct pg *pg, short events, int64_t deadline_ms, struct error *error)
{
	struct error local = {0};
	switch (wait_socket(pg, events, deadline_ms)) {
	case READY:
		return true;
	case LATE:
		error_set(&local, ERROR_UNREACHABLE, "database: no answer within %d ms", pg->answer_timeout_ms);
		break;
	case INTERRUPTED:
		error_set(&local, ERROR_UNREACHABLE, "database: interrupted");
		break;
	case BROKEN:
		return lost_error(pg, error, ERROR_UNREACHABLE, "waiting for the server");
	}
	lost(pg, &local);
	if (error)
		*error = local;
	return false;
}

// Sends what is queued; reads meanwhile, so that neither side waits for the other.
static bool flush_all(struct pg *pg, int64_t deadline_ms, struct error *error)
{
	for (;;) {
		int rest = PQflush(pg->conn);
		if (rest == 0)
			return true;
		if (rest < 0)
			return lost_error(pg, error, ERROR_UNREACHABLE, "sending");
		if (!wait_or_lose(pg, POLLIN | POLLOUT, deadline_ms, error))
			return false;
		if (PQconsumeInput(pg->conn) != 1)
			return lost_error(pg, error, ERROR_UNREACHABLE, "sending");
	}
}

// The next result, NULL at the end of the statement; false when the connection was lost.
static bool next_result(struct pg *pg, int64_t deadline_ms, PGresult **out, struct error *error)
{
	while (PQisBusy(pg->conn)) {
		if (!wait_or_lose(pg, POLLIN, deadline_ms, error))
			return false;
		if (PQconsumeInput(pg->conn) != 1)
			return lost_error(pg, error, ERROR_UNREACHABLE, "receiving");
	}
	*out = PQgetResult(pg->conn);
	return true;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum error_kind kind_of(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		enum error_kind kind;
	} kinds[] = {
		{"23505", ERROR_EXISTS},      {"22", ERROR_INVALID},	  {"23", ERROR_INVALID},
		{"42501", ERROR_DENIED},      {"57014", ERROR_TIMEOUT},	  {"55P03", ERROR_TIMEOUT},
		{"08", ERROR_UNREACHABLE},    {"57P", ERROR_UNREACHABLE}, {"53300", ERROR_UNREACHABLE},
		{"25006", ERROR_UNREACHABLE}, // read-only: the primary has moved
		{"53", ERROR_LIMIT},	      {"54", ERROR_LIMIT},
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (starts_with(sqlstate, kinds[i].prefix))
			return kinds[i].kind;
	}
	return ERROR_FAILED;
}

static bool statement_failed(struct pg *pg, const PGresult *result, struct error *error)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	char message[sizeof(error->what)];
	struct error local = {0};

	one_line(message, sizeof(message), primary ? primary : PQresultErrorMessage(result));
	if (!sqlstate)
		sqlstate = "";
	error_set(&local, kind_of(sqlstate), "database: %.450s", message[0] ? message : "the statement failed");
	(void)snprintf(local.where, sizeof(local.where), "%s", sqlstate);
	if (PQstatus(pg->conn) != CONNECTION_OK)
		local.kind = ERROR_UNREACHABLE;
	if (local.kind == ERROR_UNREACHABLE)
		lost(pg, &local);
	if (error)
		*error = local;
	return false;
}

static bool is_copy(ExecStatusType status)
{
	return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

// Reads all results of what was sent; *out is the last one, or the first that failed, or a COPY's.
static bool collect(struct pg *pg, PGresult **out, struct error *error)
{
	int64_t deadline_ms = deadline(pg);
	auto_result PGresult *kept = NULL;
	if (!flush_all(pg, deadline_ms, error))
		return false;
	for (;;) {
		PGresult *result = NULL;
		if (!next_result(pg, deadline_ms, &result, error))
			return false;
		if (!result)
			break;
		if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
			PQclear(result);
			continue;
		}
		PQclear(kept);
		kept = result;
		if (is_copy(PQresultStatus(kept)))
			break;
	}
	if (!kept)
		return lost_error(pg, error, ERROR_UNREACHABLE, "the server gave no result");
	*out = steal(kept);
	return true;
}

static bool succeeded(struct pg *pg, const PGresult *result, struct error *error)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_EMPTY_QUERY:
		return true;
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		pg_disconnect(pg); // there is no other way out of COPY that is sure to be short
		return error_set(error, ERROR_FAILED, "database: COPY needs pg_copy_start");
	default:
		return statement_failed(pg, result, error);
	}
}

static bool finish(struct pg *pg, int sent, struct pg_result **out, struct error *error)
{
	if (!sent)
		return lost_error(pg, error, ERROR_UNREACHABLE, "sending");
	auto_result PGresult *result = NULL;
	if (!collect(pg, &result, error) || !succeeded(pg, result, error))
		return false;
	if (out)
		*out = (struct pg_result *)steal(result);
	return true;
}

bool pg_exec(struct pg *pg, const char *sql, struct error *error)
{
	if (!pg->conn)
		return not_connected(error);
	return finish(pg, PQsendQuery(pg->conn, sql), NULL, error);
}

bool pg_query(struct pg *pg, struct pg_result **out, struct error *error, const char *sql, size_t count,
	      const char *const *params)
{
	if (!pg->conn)
		return not_connected(error);
	int sent = PQsendQueryParams(pg->conn, sql, (int)count, NULL, params, NULL, NULL, 0);
	return finish(pg, sent, out, error);
}

bool pg_each(struct pg *pg, pg_row_fn *fn, void *user, struct error *error, const char *sql, size_t count,
	     const char *const *params)
{
	if (!pg->conn)
		return not_connected(error);
	if (!PQsendQueryParams(pg->conn, sql, (int)count, NULL, params, NULL, NULL, 0) || !PQsetSingleRowMode(pg->conn))
		return lost_error(pg, error, ERROR_UNREACHABLE, "sending");
	if (!flush_all(pg, deadline(pg), error))
		return false;
	for (bool ok = true;;) {
		auto_result PGresult *result = NULL;
		if (!next_result(pg, deadline(pg), &result, error))
			return false;
		if (!result)
			return ok;
		if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
			if (fn((const struct pg_result *)result, user, error))
				continue;
			pg_disconnect(pg);
			return false;
		}
		ok = succeeded(pg, result, error) && ok;
		if (!pg->conn)
			return false;
	}
}

bool pg_prepare(struct pg *pg, const char *name, const char *sql, struct error *error)
{
	if (!pg->conn)
		return not_connected(error);
	return finish(pg, PQsendPrepare(pg->conn, name, sql, 0, NULL), NULL, error);
}

bool pg_run(struct pg *pg, struct pg_result **out, struct error *error, const char *name, size_t count,
	    const char *const *params)
{
	if (!pg->conn)
		return not_connected(error);
	int sent = PQsendQueryPrepared(pg->conn, name, (int)count, params, NULL, NULL, 0);
	return finish(pg, sent, out, error);
}

bool pg_begin(struct pg *pg, struct error *error)
{
	return pg_exec(pg, "BEGIN", error);
}

bool pg_commit(struct pg *pg, struct error *error)
{
	if (!pg->conn)
		return not_connected(error);
	if (!PQsendQuery(pg->conn, "COMMIT"))
		return lost_error(pg, error, ERROR_UNREACHABLE, "sending COMMIT");
	auto_result PGresult *result = NULL;
	if (!collect(pg, &result, error) || !succeeded(pg, result, error))
		return false;
	// In a failed transaction COMMIT succeeds, and rolls back.
	if (strcmp(PQcmdStatus(result), "COMMIT") != 0)
		return error_set(error, ERROR_FAILED, "database: the transaction was rolled back");
	return true;
}

void pg_rollback(struct pg *pg)
{
	if (!pg->conn)
		return;
	switch (PQtransactionStatus(pg->conn)) {
	case PQTRANS_IDLE:
		return;
	case PQTRANS_ACTIVE: { // in COPY
		auto_result PGresult *result = NULL;
		if (PQputCopyEnd(pg->conn, "cancelled") != 1 || !collect(pg, &result, NULL)) {
			close_connection(pg);
			return;
		}
		break;
	}
	default:
		break;
	}
	if (!pg_exec(pg, "ROLLBACK", NULL))
		close_connection(pg);
}

bool pg_copy_start(struct pg *pg, const char *sql, struct error *error)
{
	if (!pg->conn)
		return not_connected(error);
	if (!PQsendQuery(pg->conn, sql))
		return lost_error(pg, error, ERROR_UNREACHABLE, "sending");
	auto_result PGresult *result = NULL;
	if (!collect(pg, &result, error))
		return false;
	if (PQresultStatus(result) == PGRES_COPY_IN)
		return true;
	if (!succeeded(pg, result, error))
		return false;
	return error_set(error, ERROR_FAILED, "database: the statement is no COPY FROM STDIN");
}

bool pg_copy_write(struct pg *pg, const void *data, size_t len_bytes, struct error *error)
{
	enum { PIECE_BYTES = 1 << 20 }; // PQputCopyData takes an int, and buffers the whole of a piece
	if (!pg->conn)
		return not_connected(error);
	const char *from = data;
	int64_t deadline_ms = deadline(pg);
	while (len_bytes > 0) {
		size_t piece_bytes = len_bytes < PIECE_BYTES ? len_bytes : PIECE_BYTES;
		int queued = PQputCopyData(pg->conn, from, (int)piece_bytes);
		if (queued < 0)
			return lost_error(pg, error, ERROR_UNREACHABLE, "sending rows");
		if (queued == 0 || piece_bytes == PIECE_BYTES) {
			if (!flush_all(pg, deadline_ms, error))
				return false;
		}
		if (queued == 0)
			continue;
		from += piece_bytes;
		len_bytes -= piece_bytes;
	}
	return true;
}

bool pg_copy_end(struct pg *pg, struct error *error)
{
	if (!pg->conn)
		return not_connected(error);
	int64_t deadline_ms = deadline(pg);
	int queued;
	while ((queued = PQputCopyEnd(pg->conn, NULL)) == 0) {
		if (!flush_all(pg, deadline_ms, error))
			return false;
	}
	return finish(pg, queued > 0, NULL, error);
}

void pg_result_free(struct pg_result *result)
{
	PQclear((PGresult *)result);
}

size_t pg_rows(const struct pg_result *result)
{
	return (size_t)PQntuples(native(result));
}

size_t pg_affected(const struct pg_result *result)
{
	// libpq forgot a const: it only reads the result.
	return (size_t)strtoull(PQcmdTuples((PGresult *)native(result)), NULL, 10);
}

const char *pg_text(const struct pg_result *result, size_t row, size_t column)
{
	const PGresult *rows = native(result);
	if (row >= pg_rows(result) || column >= (size_t)PQnfields(rows) || PQgetisnull(rows, (int)row, (int)column))
		return NULL;
	return PQgetvalue(rows, (int)row, (int)column);
}

int64_t pg_int(const struct pg_result *result, size_t row, size_t column)
{
	const char *text = pg_text(result, row, column);
	return text ? strtoll(text, NULL, 10) : 0;
}

bool pg_bool(const struct pg_result *result, size_t row, size_t column)
{
	const char *text = pg_text(result, row, column);
	return text && text[0] == 't';
}

int pg_fd(const struct pg *pg)
{
	return pg->conn ? PQsocket(pg->conn) : -1;
}

bool pg_notifications(struct pg *pg, void (*fn)(void *user, const char *channel, const char *payload), void *user,
		      struct error *error)
{
	if (!pg->conn)
		return not_connected(error);
	if (PQconsumeInput(pg->conn) != 1)
		return lost_error(pg, error, ERROR_UNREACHABLE, "receiving notifications");
	PGnotify *notification;
	// fn may use the connection, and so lose it.
	while (pg->conn && (notification = PQnotifies(pg->conn))) {
		fn(user, notification->relname, notification->extra);
		PQfreemem(notification);
	}
	return true;
}

bool pg_sqlstate_is(const struct error *error, const char *sqlstate)
{
	return strcmp(error->where, sqlstate) == 0;
}

bool pg_error_is_data(const struct error *error)
{
	return strlen(error->where) == 5 && (starts_with(error->where, "22") || starts_with(error->where, "23"));
}
