#include "agent/outbox.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

// Small on purpose: the agent's memory counts, and its working set is a few rows.
#define PEEK_TIMEOUT_MS 2000 // the agent may be writing
#define SCHEMA_VERSION 2
static const char setup_sql[] = "pragma cache_size = -200;"
				"pragma temp_store = memory;"
				"pragma journal_mode = wal;"
				"pragma synchronous = full;"
				"pragma wal_autocheckpoint = 64;"
				"pragma journal_size_limit = 1048576;";
static const char schema_sql[] =
	"create table value (name text primary key, value) without rowid;"
	"create table message (seq integer primary key, topic text not null, body text not null,"
	" made_ms integer not null);"
	"create table command (id integer primary key, jti text not null unique, action text not null,"
	" state text not null, params text not null, result text not null, result_seq integer not null,"
	" boot_id text not null);";

// made_ms is on the clock that counts from the boot; below 0 for what is from an earlier one.
static const char upgrade_sql[] = "begin immediate;"
				  "alter table message add column made_ms integer not null default 0;"
				  "pragma user_version = 2;"
				  "commit";
static const char new_boot_sql[] = "update message set made_ms = made_ms - (select max(made_ms) from message)";

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	VALUE_SET,
	VALUE_GET,
	MESSAGE_INSERT,
	MESSAGE_NEXT,
	MESSAGE_DELETE_TO,
	MESSAGE_SUM_TO,
	MESSAGE_TOTALS,
	MESSAGE_NEGATE,
	MESSAGE_RENUMBER,
	COMMAND_PUT,
	COMMAND_FIND,
	COMMAND_OPEN,
	COMMAND_PRUNE,
	COMMAND_RENUMBER,
	STATEMENT_COUNT,
};

static const char *const statement_sql[STATEMENT_COUNT] = {
	[BEGIN] = "begin immediate",
	[COMMIT] = "commit",
	[ROLLBACK] = "rollback",
	[VALUE_SET] =
		"insert into value (name, value) values (?, ?) on conflict (name) do update set value = excluded.value",
	[VALUE_GET] = "select value from value where name = ?",
	[MESSAGE_INSERT] = "insert into message (seq, topic, body, made_ms) values (?, ?, ?, ?)",
	[MESSAGE_NEXT] = "select seq, topic, body, made_ms from message where seq > ? order by seq limit 1",
	[MESSAGE_DELETE_TO] = "delete from message where seq <= ?",
	[MESSAGE_SUM_TO] = "select count(*), coalesce(sum(length(cast(body as blob))), 0) from message where seq <= ?",
	[MESSAGE_TOTALS] =
		"select count(*), coalesce(sum(length(cast(body as blob))), 0), coalesce(min(seq), 0) from message",
	[MESSAGE_NEGATE] = "update message set seq = -(seq - ?)",
	[MESSAGE_RENUMBER] = "update message set seq = -seq",
	[COMMAND_PUT] = ("insert into command (jti, action, state, params, result, result_seq, boot_id)"
			 " values (?, ?, ?, ?, ?, ?, ?) on conflict (jti) do update set state = excluded.state,"
			 " result = excluded.result, result_seq = excluded.result_seq"),
	[COMMAND_FIND] = "select jti, action, state, params, result, result_seq, boot_id from command where jti = ?",
	[COMMAND_OPEN] = ("select jti, action, state, params, result, result_seq, boot_id from command"
			  " where state in ('accepted', 'running') order by id limit 1"),
	[COMMAND_PRUNE] = ("delete from command where state not in ('accepted', 'running')"
			   " and id <= (select max(id) from command) - ?"),
	[COMMAND_RENUMBER] = "update command set result_seq = max(result_seq - ?, 0)",
};

// What the file says, kept at hand. Saved when a transaction begins, and put back when it fails.
struct totals {
	char epoch[EPOCH_MAX + 1];
	int64_t next_seq;
	int64_t rows;
	int64_t bytes;
	int64_t dropped;
};

struct outbox {
	char *path;
	char *boot_id; // NULL: unknown
	int64_t rows_max, bytes_max;
	struct crash *crash;
	int lock_fd;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	bool in_transaction;
	bool damaged;
	struct totals now, before;
	int64_t unsaved_drops; // the disk had no room for them, nor for their count
	int64_t saving_drops;  // of these, what the open transaction has added to now.dropped
	struct buf payload;    // of the message last read
};

static bool sql_error(struct outbox *outbox, struct error *error, const char *doing)
{
	int code = outbox->db ? sqlite3_extended_errcode(outbox->db) : SQLITE_NOMEM;
	int primary = code & 0xff;
	if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
		outbox->damaged = true;
	(void)error_set(error, primary == SQLITE_FULL ? ERROR_LIMIT : ERROR_FAILED, "%s in the outbox %s: %s", doing,
			outbox->path, outbox->db ? sqlite3_errmsg(outbox->db) : "out of memory");
	if (error)
		error->code = code;
	return false;
}

// A statement ready for its parameters; whoever steps it to the end or away leaves it to the next use to reset, except
// that readers must not hold the WAL back: they call idle().
static sqlite3_stmt *ready(struct outbox *outbox, enum statement which)
{
	sqlite3_stmt *statement = outbox->statements[which];
	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
	return statement;
}

static void idle(sqlite3_stmt *statement)
{
	(void)sqlite3_reset(statement);
}

static bool run(struct outbox *outbox, sqlite3_stmt *statement, const char *doing, struct error *error)
{
	int code = sqlite3_step(statement);
	bool ok = code == SQLITE_DONE || code == SQLITE_ROW;
	if (!ok)
		(void)sql_error(outbox, error, doing);
	idle(statement);
	return ok;
}

// ---- transactions ----

bool outbox_begin(struct outbox *outbox, struct error *error)
{
	if (!run(outbox, ready(outbox, BEGIN), "beginning a transaction", error))
		return false;
	outbox->before = outbox->now;
	outbox->in_transaction = true;
	return true;
}

void outbox_rollback(struct outbox *outbox)
{
	if (!outbox->in_transaction)
		return;
	outbox->in_transaction = false;
	outbox->now = outbox->before;
	outbox->saving_drops = 0;
	// SQLite has rolled back by itself after a full disk; saying so again changes nothing.
	if (!sqlite3_get_autocommit(outbox->db))
		(void)run(outbox, ready(outbox, ROLLBACK), "rolling back", NULL);
}

bool outbox_commit(struct outbox *outbox, struct error *error)
{
	if (!run(outbox, ready(outbox, COMMIT), "committing", error)) {
		outbox_rollback(outbox);
		return false;
	}
	outbox->in_transaction = false;
	outbox->unsaved_drops -= outbox->saving_drops;
	outbox->saving_drops = 0;
	if (outbox->now.next_seq > outbox->before.next_seq)
		crash_here(outbox->crash, CRASH_OUTBOX_COMMIT);
	return true;
}

// Joins the caller's transaction, or opens one: *own says which, for leave().
static bool enter(struct outbox *outbox, bool *own, struct error *error)
{
	*own = !outbox->in_transaction;
	return !*own || outbox_begin(outbox, error);
}

static bool leave(struct outbox *outbox, bool own, bool ok, struct error *error)
{
	if (!own)
		return ok;
	if (ok)
		return outbox_commit(outbox, error);
	outbox_rollback(outbox);
	return false;
}

// ---- named values ----

static bool bind_text(sqlite3_stmt *statement, int column, const char *text)
{
	return sqlite3_bind_text(statement, column, text, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

bool outbox_set(struct outbox *outbox, const char *name, const char *value, struct error *error)
{
	sqlite3_stmt *statement = ready(outbox, VALUE_SET);
	if (!bind_text(statement, 1, name) || !bind_text(statement, 2, value))
		return sql_error(outbox, error, "keeping a value");
	return run(outbox, statement, "keeping a value", error);
}

bool outbox_set_int(struct outbox *outbox, const char *name, int64_t value, struct error *error)
{
	sqlite3_stmt *statement = ready(outbox, VALUE_SET);
	if (!bind_text(statement, 1, name) || sqlite3_bind_int64(statement, 2, value) != SQLITE_OK)
		return sql_error(outbox, error, "keeping a value");
	return run(outbox, statement, "keeping a value", error);
}

char *outbox_get(struct outbox *outbox, const char *name)
{
	sqlite3_stmt *statement = ready(outbox, VALUE_GET);
	char *value = NULL;
	if (bind_text(statement, 1, name) && sqlite3_step(statement) == SQLITE_ROW) {
		const unsigned char *text = sqlite3_column_text(statement, 0);
		value = text ? strdup((const char *)text) : NULL;
	}
	idle(statement);
	return value;
}

int64_t outbox_get_int(struct outbox *outbox, const char *name, int64_t otherwise)
{
	sqlite3_stmt *statement = ready(outbox, VALUE_GET);
	int64_t value = otherwise;
	if (bind_text(statement, 1, name) && sqlite3_step(statement) == SQLITE_ROW &&
	    sqlite3_column_type(statement, 0) != SQLITE_NULL)
		value = sqlite3_column_int64(statement, 0);
	idle(statement);
	return value;
}

// ---- opening ----

// For SQL whose rows are of no interest.
static bool execute(struct outbox *outbox, const char *sql, const char *doing, struct error *error)
{
	return sqlite3_exec(outbox->db, sql, NULL, NULL, NULL) == SQLITE_OK || sql_error(outbox, error, doing);
}

static bool query_text(struct outbox *outbox, const char *sql, char *out, size_t out_bytes, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	bool ok = sqlite3_prepare_v2(outbox->db, sql, -1, &statement, NULL) == SQLITE_OK &&
		  sqlite3_step(statement) == SQLITE_ROW;
	if (ok)
		(void)snprintf(out, out_bytes, "%s", (const char *)sqlite3_column_text(statement, 0));
	else
		(void)sql_error(outbox, error, "reading");
	(void)sqlite3_finalize(statement);
	return ok;
}

static bool new_epoch(struct outbox *outbox, int64_t next_seq, struct error *error)
{
	char epoch[UUID_TEXT_BYTES];
	crypto_uuid4(epoch);
	if (!outbox_set(outbox, "epoch", epoch, error) || !outbox_set_int(outbox, "next_seq", next_seq, error) ||
	    !outbox_set_int(outbox, "dropped", 0, error))
		return false;
	(void)snprintf(outbox->now.epoch, sizeof(outbox->now.epoch), "%s", epoch);
	outbox->now.next_seq = next_seq;
	outbox->now.dropped = 0;
	return true;
}

static bool prepare(struct outbox *outbox, struct error *error)
{
	for (size_t i = 0; i < STATEMENT_COUNT; i++) {
		if (sqlite3_prepare_v3(outbox->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &outbox->statements[i], NULL) != SQLITE_OK)
			return sql_error(outbox, error, "preparing a statement");
	}
	return true;
}

static bool load_totals(struct outbox *outbox, struct error *error)
{
	sqlite3_stmt *statement = ready(outbox, MESSAGE_TOTALS);
	if (sqlite3_step(statement) != SQLITE_ROW)
		return sql_error(outbox, error, "counting");
	outbox->now.rows = sqlite3_column_int64(statement, 0);
	outbox->now.bytes = sqlite3_column_int64(statement, 1);
	int64_t oldest_seq = sqlite3_column_int64(statement, 2);
	idle(statement);

	char *epoch auto_free = outbox_get(outbox, "epoch");
	outbox->now.next_seq = outbox_get_int(outbox, "next_seq", 0);
	outbox->now.dropped = outbox_get_int(outbox, "dropped", 0);
	bool whole = outbox->now.rows == 0 || oldest_seq == outbox->now.next_seq - outbox->now.rows;
	if (!epoch || !*epoch || strlen(epoch) > EPOCH_MAX || outbox->now.next_seq < 1 || !whole) {
		outbox->damaged = true;
		return error_set(error, ERROR_FAILED, "the outbox %s contradicts itself", outbox->path);
	}
	(void)snprintf(outbox->now.epoch, sizeof(outbox->now.epoch), "%s", epoch);
	return true;
}

// Ages go on from what they were: the newest message is taken to be as old as this boot.
static bool note_boot(struct outbox *outbox, struct error *error)
{
	char *known auto_free = outbox_get(outbox, "clock_boot_id");
	if (!outbox->boot_id || (known && strcmp(known, outbox->boot_id) == 0))
		return true;
	if (!outbox_begin(outbox, error))
		return false;
	if ((!known || execute(outbox, new_boot_sql, "noting the boot", error)) &&
	    outbox_set(outbox, "clock_boot_id", outbox->boot_id, error))
		return outbox_commit(outbox, error);
	outbox_rollback(outbox);
	return false;
}

// One transaction: a file without its epoch never exists.
static bool create(struct outbox *outbox, struct error *error)
{
	char version_sql[64];
	(void)snprintf(version_sql, sizeof(version_sql), "pragma user_version = %d", SCHEMA_VERSION);
	if (!execute(outbox, "begin immediate", "beginning a transaction", error))
		return false;
	bool ok = execute(outbox, schema_sql, "making the tables", error) &&
		  execute(outbox, version_sql, "making the tables", error) && prepare(outbox, error) &&
		  new_epoch(outbox, 1, error) &&
		  (!outbox->boot_id || outbox_set(outbox, "clock_boot_id", outbox->boot_id, error));
	return ok && execute(outbox, "commit", "committing", error);
}

static void close_db(struct outbox *outbox)
{
	for (size_t i = 0; i < STATEMENT_COUNT; i++) {
		(void)sqlite3_finalize(outbox->statements[i]);
		outbox->statements[i] = NULL;
	}
	(void)sqlite3_close(outbox->db);
	outbox->db = NULL;
	outbox->in_transaction = false;
}

static bool open_db(struct outbox *outbox, struct error *error)
{
	outbox->damaged = false;
	outbox->now = (struct totals){0};
	// SQLite would make it with the umask's mode; -wal and -shm take the mode of the file.
	auto_close int fd = open(outbox->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(error, errno, "cannot open the outbox %s", outbox->path);
	if (sqlite3_open_v2(outbox->path, &outbox->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return sql_error(outbox, error, "opening");
	(void)sqlite3_busy_timeout(outbox->db, 5000); // someone may be looking into the file

	char text[128] = "";
	if (!execute(outbox, setup_sql, "opening", error) ||
	    !query_text(outbox, "pragma quick_check(1)", text, sizeof(text), error))
		return false;
	if (strcmp(text, "ok") != 0) {
		outbox->damaged = true;
		return error_set(error, ERROR_FAILED, "the outbox %s is damaged: %s", outbox->path, text);
	}
	if (!query_text(outbox, "pragma user_version", text, sizeof(text), error))
		return false;
	if (strcmp(text, "0") == 0)
		return create(outbox, error);
	if (strcmp(text, "1") == 0) {
		if (!execute(outbox, upgrade_sql, "bringing the tables up to date", error)) {
			(void)sqlite3_exec(outbox->db, "rollback", NULL, NULL, NULL);
			return false;
		}
	} else if (strcmp(text, "2") != 0) {
		return error_set(error, ERROR_FAILED,
				 "the outbox %s has version %s, this program knows %d: install the "
				 "agent that made it, or a newer one",
				 outbox->path, text, SCHEMA_VERSION);
	}
	return prepare(outbox, error) && load_totals(outbox, error) && note_boot(outbox, error);
}

static bool move_aside(const struct outbox *outbox, const char *suffix, struct error *error)
{
	char *from auto_free = NULL;
	char *to auto_free = NULL;
	if (asprintf(&from, "%s%s", outbox->path, suffix) < 0 ||
	    asprintf(&to, "%s.damaged%s", outbox->path, suffix) < 0)
		abort();
	if (rename(from, to) < 0 && errno != ENOENT)
		return error_errno(error, errno, "cannot move the damaged outbox %s aside", from);
	return true;
}

bool outbox_reset(struct outbox *outbox, struct error *error)
{
	close_db(outbox);
	// The index of the WAL is of no use without it; SQLite makes a new one.
	return move_aside(outbox, "-wal", error) && move_aside(outbox, "-shm", error) &&
	       move_aside(outbox, "", error) && open_db(outbox, error);
}

static bool lock(struct outbox *outbox, struct error *error)
{
	char *path auto_free = NULL;
	if (asprintf(&path, "%s.lock", outbox->path) < 0)
		abort();
	outbox->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (outbox->lock_fd < 0)
		return error_errno(error, errno, "cannot open %s", path);
	if (flock(outbox->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno != EWOULDBLOCK)
		return error_errno(error, errno, "cannot lock %s", path);
	return error_set(error, ERROR_EXISTS,
			 "another agent is running on the outbox %s: stop it first, or give this one "
			 "a state_dir of its own",
			 outbox->path);
}

struct outbox *outbox_open(const struct outbox_options *options, struct error *reset, struct error *error)
{
	struct outbox *outbox cleanup(outbox_free_cleanup) = calloc(1, sizeof(*outbox));
	if (!outbox)
		abort();
	outbox->lock_fd = -1;
	outbox->path = strdup(options->path);
	outbox->boot_id = options->boot_id ? strdup(options->boot_id) : NULL;
	outbox->rows_max = options->rows_max;
	outbox->bytes_max = options->bytes_max;
	outbox->crash = options->crash;
	buf_init(&outbox->payload, PAYLOAD_MAX_BYTES + 1);
	if (!outbox->path || (options->boot_id && !outbox->boot_id))
		abort();

	struct error why = {0};
	if (!lock(outbox, error))
		return NULL;
	if (!open_db(outbox, &why)) {
		if (!outbox->damaged) {
			if (error)
				*error = why;
			return NULL;
		}
		if (!outbox_reset(outbox, error))
			return NULL;
		if (reset)
			*reset = why;
	}
	return steal(outbox);
}

void outbox_free(struct outbox *outbox)
{
	if (!outbox)
		return;
	close_db(outbox);
	if (outbox->lock_fd >= 0)
		(void)close(outbox->lock_fd);
	buf_done(&outbox->payload);
	free(outbox->path);
	free(outbox->boot_id);
	free(outbox);
}

bool outbox_damaged(const struct outbox *outbox)
{
	return outbox->damaged;
}

const char *outbox_epoch(const struct outbox *outbox)
{
	return outbox->now.epoch;
}

int64_t outbox_oldest_seq(const struct outbox *outbox)
{
	return outbox->now.next_seq - outbox->now.rows;
}

int64_t outbox_next_seq(const struct outbox *outbox)
{
	return outbox->now.next_seq;
}

int64_t outbox_rows(const struct outbox *outbox)
{
	return outbox->now.rows;
}

int64_t outbox_bytes(const struct outbox *outbox)
{
	return outbox->now.bytes;
}

int64_t outbox_dropped(const struct outbox *outbox)
{
	return outbox->now.dropped + outbox->unsaved_drops - outbox->saving_drops;
}

// ---- messages ----

static bool sum_to(struct outbox *outbox, int64_t seq, int64_t *rows, int64_t *bytes, struct error *error)
{
	sqlite3_stmt *statement = ready(outbox, MESSAGE_SUM_TO);
	if (sqlite3_bind_int64(statement, 1, seq) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
		(void)sql_error(outbox, error, "counting");
		idle(statement);
		return false;
	}
	*rows = sqlite3_column_int64(statement, 0);
	*bytes = sqlite3_column_int64(statement, 1);
	idle(statement);
	return true;
}

bool outbox_bytes_to(struct outbox *outbox, int64_t seq, int64_t *out, struct error *error)
{
	int64_t rows;
	return sum_to(outbox, seq, &rows, out, error);
}

// Deletes all up to seq; the caller has the transaction.
static bool delete_to(struct outbox *outbox, int64_t seq, int64_t *deleted, struct error *error)
{
	int64_t rows;
	int64_t bytes;
	if (!sum_to(outbox, seq, &rows, &bytes, error))
		return false;
	sqlite3_stmt *statement = ready(outbox, MESSAGE_DELETE_TO);
	if (sqlite3_bind_int64(statement, 1, seq) != SQLITE_OK)
		return sql_error(outbox, error, "deleting");
	if (!run(outbox, statement, "deleting", error))
		return false;
	outbox->now.rows -= rows;
	outbox->now.bytes -= bytes;
	*deleted = rows;
	return true;
}

static bool make_room(struct outbox *outbox, int64_t bytes, struct error *error)
{
	int64_t dropped = outbox->unsaved_drops - outbox->saving_drops;
	outbox->saving_drops = outbox->unsaved_drops;
	while (outbox->now.rows > 0 &&
	       (outbox->now.rows >= outbox->rows_max || outbox->now.bytes + bytes > outbox->bytes_max)) {
		int64_t deleted = 0;
		if (!delete_to(outbox, outbox_oldest_seq(outbox), &deleted, error))
			return false;
		dropped += deleted;
	}
	if (dropped == 0)
		return true;
	outbox->now.dropped += dropped;
	return outbox_set_int(outbox, "dropped", outbox->now.dropped, error);
}

static bool insert(struct outbox *outbox, const char *topic, const char *body, size_t body_bytes, struct error *error)
{
	if (!make_room(outbox, (int64_t)body_bytes, error))
		return false;
	sqlite3_stmt *statement = ready(outbox, MESSAGE_INSERT);
	if (sqlite3_bind_int64(statement, 1, outbox->now.next_seq) != SQLITE_OK || !bind_text(statement, 2, topic) ||
	    sqlite3_bind_text(statement, 3, body, (int)body_bytes, SQLITE_TRANSIENT) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 4, clock_boot_ms()) != SQLITE_OK)
		return sql_error(outbox, error, "adding a message");
	if (!run(outbox, statement, "adding a message", error) ||
	    !outbox_set_int(outbox, "next_seq", outbox->now.next_seq + 1, error))
		return false;
	outbox->now.next_seq++;
	outbox->now.rows++;
	outbox->now.bytes += (int64_t)body_bytes;
	return true;
}

#define PREFIX_MAX_BYTES 96 // {"epoch":"<36>","seq":<19>,

bool outbox_push(struct outbox *outbox, const char *topic, struct json *body, int64_t *seq, struct error *error)
{
	const char *text = json_text(body);
	size_t bytes = strlen(text);
	if (bytes <= strlen("{}") || text[0] != '{')
		return error_set(error, ERROR_INVALID, "a message must be a JSON object with members");
	if (bytes + PREFIX_MAX_BYTES > PAYLOAD_MAX_BYTES || (int64_t)bytes > outbox->bytes_max)
		return error_set(error, ERROR_INVALID, "a message of %zu bytes is too large to be sent", bytes);

	bool own;
	bool ok = enter(outbox, &own, error);
	int64_t given = outbox->now.next_seq;
	// Kept from the first quote on: epoch and seq are written before it when it is sent.
	if (ok)
		ok = leave(outbox, own, insert(outbox, topic, text + 1, bytes - 1, error), error);
	if (!ok) {
		// Inside a transaction the caller decides what a failure means.
		if (own)
			outbox->unsaved_drops++;
		return false;
	}
	if (seq)
		*seq = given;
	return true;
}

bool outbox_next(struct outbox *outbox, int64_t after, struct outbox_message *out, struct error *error)
{
	sqlite3_stmt *statement = ready(outbox, MESSAGE_NEXT);
	int code = sqlite3_bind_int64(statement, 1, after);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code != SQLITE_ROW) {
		bool ok = code == SQLITE_DONE;
		if (!ok)
			(void)sql_error(outbox, error, "reading a message");
		idle(statement);
		if (ok)
			*out = (struct outbox_message){0};
		return ok;
	}

	struct outbox_message message = {.seq = sqlite3_column_int64(statement, 0)};
	(void)snprintf(message.topic, sizeof(message.topic), "%s", (const char *)sqlite3_column_text(statement, 1));
	buf_clear(&outbox->payload);
	(void)buf_addf(&outbox->payload, "{\"epoch\":\"%s\",\"seq\":%" PRId64 ",", outbox->now.epoch, message.seq);
	(void)buf_add_str(&outbox->payload, (const char *)sqlite3_column_text(statement, 2));
	message.age_ms = clock_boot_ms() - sqlite3_column_int64(statement, 3);
	idle(statement);
	if (outbox->payload.overflowed)
		return error_set(error, ERROR_FAILED, "message %" PRId64 " of the outbox is too large to be sent",
				 message.seq);
	message.payload = buf_str(&outbox->payload);
	message.payload_bytes = outbox->payload.len_bytes;
	*out = message;
	return true;
}

static bool renumber(struct outbox *outbox, struct error *error)
{
	int64_t below = outbox_oldest_seq(outbox) - 1;
	// Through negative numbers, so that no two rows meet on the way.
	static const enum statement steps[] = {MESSAGE_NEGATE, MESSAGE_RENUMBER, COMMAND_RENUMBER};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		sqlite3_stmt *statement = ready(outbox, steps[i]);
		if (sqlite3_bind_parameter_count(statement) > 0 && sqlite3_bind_int64(statement, 1, below) != SQLITE_OK)
			return sql_error(outbox, error, "renumbering");
		if (!run(outbox, statement, "renumbering", error))
			return false;
	}
	return new_epoch(outbox, outbox->now.rows + 1, error);
}

bool outbox_stored(struct outbox *outbox, const char *epoch, int64_t seq, int64_t *deleted, struct error *error)
{
	int64_t count = 0;
	bool mine = strcmp(epoch, outbox->now.epoch) == 0;
	if (mine && seq >= outbox_oldest_seq(outbox)) {
		bool own;
		if (!enter(outbox, &own, error))
			return false;
		bool ok = seq < outbox->now.next_seq ? delete_to(outbox, seq, &count, error) : renumber(outbox, error);
		if (!leave(outbox, own, ok, error))
			return false;
	}
	if (deleted)
		*deleted = count;
	return true;
}

// ---- commands ----

void outbox_command_done(struct outbox_command *command)
{
	free(command->params);
	free(command->result);
	command->params = NULL;
	command->result = NULL;
}

bool outbox_command_put(struct outbox *outbox, const struct outbox_command *command, struct error *error)
{
	bool own;
	if (!enter(outbox, &own, error))
		return false;
	sqlite3_stmt *put = ready(outbox, COMMAND_PUT);
	bool ok = bind_text(put, 1, command->id) && bind_text(put, 2, command->action) &&
		  bind_text(put, 3, command->state) && bind_text(put, 4, command->params) &&
		  bind_text(put, 5, command->result) &&
		  sqlite3_bind_int64(put, 6, command->result_seq) == SQLITE_OK && bind_text(put, 7, command->boot_id);
	if (!ok)
		(void)sql_error(outbox, error, "keeping a command");
	ok = ok && run(outbox, put, "keeping a command", error);
	if (ok) {
		sqlite3_stmt *prune = ready(outbox, COMMAND_PRUNE);
		ok = sqlite3_bind_int64(prune, 1, OUTBOX_COMMANDS_MAX) == SQLITE_OK &&
		     run(outbox, prune, "deleting old commands", error);
	}
	return leave(outbox, own, ok, error);
}

static bool copy_text(sqlite3_stmt *statement, int column, char **out)
{
	const unsigned char *text = sqlite3_column_text(statement, column);
	*out = strdup(text ? (const char *)text : "");
	return *out;
}

static bool read_command(struct outbox *outbox, sqlite3_stmt *statement, bool *found, struct outbox_command *out,
			 struct error *error)
{
	int code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		(void)sql_error(outbox, error, "reading a command");
		idle(statement);
		return false;
	}
	*found = code == SQLITE_ROW;
	if (*found) {
		struct outbox_command command = {.result_seq = sqlite3_column_int64(statement, 5)};
		(void)snprintf(command.id, sizeof(command.id), "%s", (const char *)sqlite3_column_text(statement, 0));
		(void)snprintf(command.action, sizeof(command.action), "%s",
			       (const char *)sqlite3_column_text(statement, 1));
		(void)snprintf(command.state, sizeof(command.state), "%s",
			       (const char *)sqlite3_column_text(statement, 2));
		(void)snprintf(command.boot_id, sizeof(command.boot_id), "%s",
			       (const char *)sqlite3_column_text(statement, 6));
		if (!copy_text(statement, 3, &command.params) || !copy_text(statement, 4, &command.result))
			abort();
		*out = command;
	}
	idle(statement);
	return true;
}

bool outbox_command_find(struct outbox *outbox, const char *id, bool *found, struct outbox_command *out,
			 struct error *error)
{
	sqlite3_stmt *statement = ready(outbox, COMMAND_FIND);
	if (!bind_text(statement, 1, id))
		return sql_error(outbox, error, "reading a command");
	return read_command(outbox, statement, found, out, error);
}

bool outbox_command_open(struct outbox *outbox, bool *found, struct outbox_command *out, struct error *error)
{
	return read_command(outbox, ready(outbox, COMMAND_OPEN), found, out, error);
}

static bool peek(sqlite3 *db, const char *sql, sqlite3_stmt **statement)
{
	(void)sqlite3_finalize(*statement);
	*statement = NULL;
	return sqlite3_prepare_v2(db, sql, -1, statement, NULL) == SQLITE_OK && sqlite3_step(*statement) == SQLITE_ROW;
}

bool outbox_peek(const char *path, struct outbox_state *out, struct error *error)
{
	static const char sql[] =
		"select count(*), coalesce(min(seq), (select value from value where name = 'next_seq'), 1) - 1,"
		" coalesce((select value from value where name = '" OUTBOX_READING "'), 0) from message";
	sqlite3 *db = NULL;
	sqlite3_stmt *statement = NULL;
	if (access(path, F_OK) < 0)
		return error_errno(error, errno, "there is no outbox %s", path);
	bool ok = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
		  sqlite3_busy_timeout(db, PEEK_TIMEOUT_MS) == SQLITE_OK;
	bool made = false; // the file is there before its tables: an agent begins
	ok = ok && peek(db, "select count(*) > 0 from sqlite_master", &statement);
	if (ok) {
		made = sqlite3_column_int64(statement, 0) != 0;
		ok = !made || peek(db, sql, &statement);
	}
	if (ok && made)
		*out = (struct outbox_state){.rows = sqlite3_column_int64(statement, 0),
					     .gone_seq = sqlite3_column_int64(statement, 1),
					     .reading_seq = sqlite3_column_int64(statement, 2)};
	else if (ok)
		ok = error_set(error, ERROR_NOT_FOUND, "the outbox %s has not been made yet", path);
	else
		(void)error_set(error, ERROR_FAILED, "the outbox %s can't be read: %s", path, sqlite3_errmsg(db));
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(db);
	return ok;
}
