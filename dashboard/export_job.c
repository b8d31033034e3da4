#include "dashboard/export_job.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/query_pg.h"
#include "dashboard/export_kinds.h"
#include "dashboard/export_work.h"
#include "dashboard/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TELL_EVERY_MS 500
#define PIECE_BYTES ((size_t)256 * 1024)	// written at once
#define ROW_MAX_BYTES ((size_t)8 * 1024 * 1024) // of one row: an event of 256 kB, each byte escaped

static const char TAKE_SQL[] =
	"update export set state = 'running', started_at = now(), changed_at = now(), attempts = attempts + 1, rows = "
	"0,"
	" bytes = 0, truncated = false where id = (select id from export where state = 'queued' order by created_at "
	"limit 1"
	" for update skip locked) returning id, requested_by, scope_tenant, scope_groups, kind, format,"
	" array_to_json(columns), query, device, (extract(epoch from since) * 1000)::bigint,"
	" (extract(epoch from until) * 1000)::bigint";
enum taken { ID, ASKER, TENANT, GROUPS, KIND, FORMAT, COLUMNS, QUERY, DEVICE, SINCE, UNTIL };
// No row: it was taken away. True: it is to end.
static const char TELL_SQL[] = "update export set rows = $2, bytes = $3, estimate = $4, changed_at = now()"
			       " where id = $1 and state = 'running' returning cancel";
static const char END_SQL[] =
	"update export set state = $2, reason = $3, rows = $4, bytes = $5, truncated = $6, changed_at = now(),"
	" finished_at = now(), expires_at = now() + $7::integer * interval '1 hour'"
	" where id = $1 and state = 'running' returning 1";

struct making {
	struct export_job *job;
	const struct pg_result *row;
	const struct export_column *columns[EXPORT_COLUMNS_MAX];
	size_t column_count;
	enum export_format format;
	struct buf text; // not written yet
	int fd;
	int64_t rows, bytes, estimate, told_ms;
	bool truncated, cancelled, gone;
	struct error control_error;
};

static const char *number(char out[24], int64_t value)
{
	(void)snprintf(out, 24, "%lld", (long long)value);
	return out;
}

// Says how far it is, and hears whether to go on.
static bool tell(struct making *making)
{
	char rows[24], bytes[24], estimate[24];
	auto_pg_result struct pg_result *row = NULL;

	making->told_ms = clock_mono_ms();
	if (!PG_QUERY(making->job->control, &row, &making->control_error, TELL_SQL, pg_text(making->row, 0, ID),
		      number(rows, making->rows), number(bytes, making->bytes),
		      making->estimate < 0 ? NULL : number(estimate, making->estimate)))
		making->gone = true;
	else
		making->gone = pg_rows(row) == 0;
	making->cancelled = !making->gone && pg_bool(row, 0, 0);
	return !making->gone && !making->cancelled;
}

// While the database sorts and nothing comes.
static void on_waiting(void *user)
{
	struct making *making = user;
	const uint64_t one = 1;

	if (clock_mono_ms() - making->told_ms >= TELL_EVERY_MS && !tell(making))
		(void)!write(making->job->interrupt_fd, &one, sizeof(one));
}

static bool write_out(struct making *making, struct error *error)
{
	for (size_t done = 0; done < making->text.len_bytes;) {
		ssize_t wrote = write(making->fd, making->text.data + done, making->text.len_bytes - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return error_errno(error, errno, "cannot write the file");
		done += (size_t)wrote;
	}
	buf_clear(&making->text);
	return true;
}

static bool on_row(const struct pg_result *row, void *user, struct error *error)
{
	struct making *making = user;
	size_t before = making->text.len_bytes;

	if (making->rows >= making->job->config->exports_max_rows || making->bytes >= making->job->bytes_max) {
		making->truncated = true;
		return error_set(error, ERROR_LIMIT, "enough");
	}
	(void)export_begin_row(&making->text, making->format, making->rows == 0);
	for (size_t i = 0; i < making->column_count; i++)
		(void)export_add_cell(&making->text, making->format, i, making->columns[i]->name, pg_text(row, 0, i),
				      making->columns[i]->type);
	if (!export_end_row(&making->text, making->format))
		return error_set(error, ERROR_LIMIT, "a row is larger than %zu bytes", ROW_MAX_BYTES);
	making->rows++;
	making->bytes += (int64_t)(making->text.len_bytes - before);
	if (making->text.len_bytes >= PIECE_BYTES && !write_out(making, error))
		return false;
	return clock_mono_ms() - making->told_ms < TELL_EVERY_MS || tell(making) ||
	       error_set(error, ERROR_FAILED, "ended");
}

static bool choose_columns(struct making *making, const struct export_kind *kind, struct error *error)
{
	const char *text = pg_text(making->row, 0, COLUMNS);
	auto_json struct json *names = json_parse(text, strlen(text), error);

	for (size_t i = 0; i < json_array_length(names) && i < EXPORT_COLUMNS_MAX; i++) {
		const char *name = "";
		const struct export_column *column =
			json_as_string(json_array_at(names, i), &name) ? export_column_find(kind, name) : NULL;

		if (!column)
			return error_set(error, ERROR_INVALID, "there is no column \"%.64s\" any more", name);
		making->columns[making->column_count++] = column;
	}
	return making->column_count > 0;
}

// What the planner expects; -1 when it does not say. The first line ends in "(cost=.. rows=N width=..)".
static int64_t estimate_rows(struct pg *pg, const char *sql, size_t count, const char *const *params)
{
	auto_buf struct buf text;
	auto_pg_result struct pg_result *plan = NULL;

	buf_init(&text, EXPORT_STATEMENT_MAX + 64);
	(void)buf_addf(&text, "explain %s", sql);
	if (!pg_query(pg, &plan, NULL, buf_str(&text), count, params) || pg_rows(plan) == 0)
		return -1;
	const char *rows = strstr(pg_text(plan, 0, 0), " rows=");

	return rows ? strtoll(rows + strlen(" rows="), NULL, 10) : -1;
}

static bool copy_rows(struct making *making, struct error *error)
{
	const struct pg_result *row = making->row;
	struct pg *pg = making->job->data;
	const struct export_kind *kind = export_kind_find(pg_text(row, 0, KIND));
	const struct query_options options = {
		.first_param = EXPORT_QUERY_PARAM, .resolve = query_pg_resolve, .user = pg};
	const char *params[EXPORT_QUERY_PARAM - 1 + QUERY_PARAMS_MAX] = {
		pg_text(row, 0, DEVICE), pg_text(row, 0, SINCE), pg_text(row, 0, UNTIL)};
	auto_buf struct buf sql = {0};
	auto_query struct query query = {0};
	struct scope scope;

	(void)snprintf(scope.tenant, sizeof(scope.tenant), "%s", pg_text(row, 0, TENANT));
	(void)snprintf(scope.groups, sizeof(scope.groups), "%s", pg_text(row, 0, GROUPS));

	if (!kind || !export_format_parse(pg_text(row, 0, FORMAT), &making->format))
		return error_set(error, ERROR_INVALID, "this kind or format is not known any more");
	if (!choose_columns(making, kind, error) || !pg_ready(pg, error) ||
	    !scope_enter(pg, pg_text(row, 0, ASKER), &scope, error) ||
	    (kind->by_device && !query_compile(pg_text(row, 0, QUERY), &options, &query, error)))
		return false;
	if (!export_statement(kind, making->columns, making->column_count, kind->by_device ? &query : NULL, &sql))
		return error_set(error, ERROR_LIMIT, "the query is too long");
	for (size_t i = 0; i < query.count; i++)
		params[EXPORT_QUERY_PARAM - 1 + i] = query.params[i];

	size_t count = EXPORT_QUERY_PARAM - 1 + query.count;
	const char *names[EXPORT_COLUMNS_MAX];

	for (size_t i = 0; i < making->column_count; i++)
		names[i] = making->columns[i]->name;
	(void)export_add_head(&making->text, making->format, names, making->column_count);
	making->bytes = (int64_t)making->text.len_bytes;
	making->estimate = estimate_rows(pg, buf_str(&sql), count, params);
	if (!tell(making))
		return error_set(error, ERROR_FAILED, "ended");
	return pg_each(pg, on_row, making, error, buf_str(&sql), count, params) || making->truncated;
}

static bool finish_file(struct making *making, struct error *error)
{
	char part[EXPORT_PATH_MAX], done[EXPORT_PATH_MAX];
	const char *id = pg_text(making->row, 0, ID);
	size_t before = making->text.len_bytes;

	(void)export_add_tail(&making->text, making->format, making->rows > 0);
	making->bytes += (int64_t)(making->text.len_bytes - before);
	export_path(making->job->config, id, EXPORT_PART, part);
	export_path(making->job->config, id, EXPORT_DONE, done);
	if (!write_out(making, error))
		return false;
	if (fsync(making->fd) != 0 || rename(part, done) != 0)
		return error_errno(error, errno, "cannot write the file");
	return true;
}

static bool make_file(struct making *making, struct error *error)
{
	char part[EXPORT_PATH_MAX];

	export_path(making->job->config, pg_text(making->row, 0, ID), EXPORT_PART, part);
	(void)unlink(part); // of an earlier attempt
	making->fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (making->fd < 0)
		return error_errno(error, errno, "cannot make the file");

	bool made = copy_rows(making, error) && finish_file(making, error);

	(void)close(making->fd);
	if (!made)
		(void)unlink(part);
	return made;
}

static bool end(struct making *making, bool made, const struct error *why, struct error *error)
{
	char rows[24], bytes[24], hours[24], reason[640] = "";
	const char *state = made ? "done" : making->cancelled ? "cancelled" : "failed";
	const struct dashboard_config *config = making->job->config;
	auto_pg_result struct pg_result *ended = NULL;

	if (made && making->truncated)
		(void)snprintf(
			reason, sizeof(reason),
			"It ends at a ceiling of the dashboard (exports.max_rows %ld, exports.max_mb %ld, what its"
			" folder may hold): narrow it down with from, to, device or query.",
			config->exports_max_rows, config->exports_max_mb);
	else if (!made && !making->cancelled)
		(void)snprintf(reason, sizeof(reason), "%s", why->what);
	if (!PG_QUERY(making->job->control, &ended, error, END_SQL, pg_text(making->row, 0, ID), state, reason,
		      number(rows, making->rows), number(bytes, made ? making->bytes : 0),
		      making->truncated ? "true" : "false", number(hours, config->exports_hours)))
		return false;
	if (pg_rows(ended) == 0 && made) { // it was taken away meanwhile
		char done[EXPORT_PATH_MAX];

		export_path(config, pg_text(making->row, 0, ID), EXPORT_DONE, done);
		(void)unlink(done);
	}
	log_info("export.ended", "export", pg_text(making->row, 0, ID), "state", state, "rows", rows, "bytes", bytes,
		 "user", pg_text(making->row, 0, ASKER), "reason", reason);
	return true;
}

bool export_job_next(struct export_job *job, bool *found, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	auto_free struct making *making = calloc(1, sizeof(*making));
	struct error why = {0};

	if (!making)
		return error_set(error, ERROR_FAILED, "out of memory");
	// None is taken up, and counted as an attempt, that cannot begin.
	if (!pg_ready(job->data, error) || !PG_QUERY(job->control, &row, error, TAKE_SQL))
		return false;
	*found = pg_rows(row) > 0;
	if (!*found)
		return true;
	*making = (struct making){.job = job, .row = row, .fd = -1, .estimate = -1};
	buf_init(&making->text, PIECE_BYTES + ROW_MAX_BYTES);
	pg_while_waiting(job->data, on_waiting, making);
	bool made = make_file(making, &why);

	pg_while_waiting(job->data, NULL, NULL);
	buf_done(&making->text);
	// Whoever has the lock next begins it again: after this program's end, or when the database is back.
	if (making->control_error.what[0] || (!made && !making->cancelled && why.kind == ERROR_UNREACHABLE)) {
		*error = making->control_error.what[0] ? making->control_error : why;
		pg_disconnect(job->control);
		return false;
	}
	return end(making, made, &why, error);
}
