#include "dashboard/pieces.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/pg.h"
#include "dashboard/api.h"

#include <stdlib.h>
#include <string.h>

#define REST 20		// times what a statement took
#define BUDGET_MS 40	// one request asks no more anew once it has spent this; others go on with it
#define FAILED_MS 10000 // what failed is not asked anew before
#define SCOPES_MAX 64	// who sees the same rows; the one unused for longest makes room

// The settings that row-level security goes by, and the database's time.
static const char scope_sql[] =
	"select coalesce(current_setting('muster.tenant', true), '') || '/' ||"
	" coalesce(current_setting('muster.groups', true), ''), to_json(now()), to_json(scope_all())";

struct kept {
	struct buf json; // empty: there is none yet
	int64_t due_ms;	 // monotonic: when it is asked anew
};

struct scope {
	char *name;
	int64_t used_ms;
	struct kept *kept; // one for each piece
};

struct pieces {
	const struct piece *table;
	size_t count;
	struct scope scopes[SCOPES_MAX];
};

struct pieces *pieces_new(const struct piece *table, size_t count, struct error *error)
{
	struct pieces *pieces = calloc(1, sizeof(*pieces));

	if (!pieces) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	pieces->table = table;
	pieces->count = count;
	return pieces;
}

static void forget(const struct pieces *pieces, struct scope *scope)
{
	for (size_t i = 0; scope->kept && i < pieces->count; i++)
		buf_done(&scope->kept[i].json);
	free(scope->kept);
	free(scope->name);
	*scope = (struct scope){0};
}

void pieces_free(struct pieces *pieces)
{
	if (!pieces)
		return;
	for (size_t i = 0; i < SCOPES_MAX; i++)
		forget(pieces, &pieces->scopes[i]);
	free(pieces);
}

// NULL: out of memory.
static struct scope *find_scope(struct pieces *pieces, const char *name)
{
	struct scope *oldest = &pieces->scopes[0];

	for (size_t i = 0; i < SCOPES_MAX; i++) {
		struct scope *scope = &pieces->scopes[i];

		if (scope->name && strcmp(scope->name, name) == 0)
			return scope;
		if (scope->used_ms < oldest->used_ms)
			oldest = scope;
	}
	forget(pieces, oldest);
	oldest->name = strdup(name);
	oldest->kept = calloc(pieces->count, sizeof(*oldest->kept));
	if (!oldest->name || !oldest->kept) {
		forget(pieces, oldest);
		return NULL;
	}
	for (size_t i = 0; i < pieces->count; i++)
		buf_init(&oldest->kept[i].json, API_ANSWER_MAX_BYTES);
	return oldest;
}

// A statement that fails, or takes too long, leaves what is kept as it is. False: the database is away.
static bool ask(const struct piece *piece, struct kept *kept, struct dashboard *dashboard, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	int64_t began_ms = clock_mono_ms(), fresh_ms = piece->fresh_ms;
	bool done = pg_query(dashboard->pg, &row, error, piece->sql, 0, NULL);

	if (done) {
		const char *json = pg_rows(row) > 0 ? pg_text(row, 0, 0) : NULL;

		buf_clear(&kept->json);
		(void)buf_add_str(&kept->json, json ? json : "null");
	} else if (error->kind == ERROR_UNREACHABLE) {
		return false;
	} else {
		log_error("piece.failed", "piece", piece->name, "error", error->what, "sqlstate", error->where);
		fresh_ms = FAILED_MS;
	}
	int64_t now_ms = clock_mono_ms(), rest_ms = (now_ms - began_ms) * REST;

	kept->due_ms = now_ms + (rest_ms > fresh_ms ? rest_ms : fresh_ms);
	return true;
}

// False: it is answered.
static bool refresh(struct pieces *pieces, struct scope *scope, struct dashboard *dashboard,
		    struct http_request *request)
{
	int64_t began_ms = clock_mono_ms();
	bool whole = true;

	for (size_t i = 0; i < pieces->count; i++) {
		struct kept *kept = &scope->kept[i];
		struct error error = {0};
		int64_t now_ms = clock_mono_ms();
		bool late = kept->json.len_bytes > 0 && now_ms - began_ms > BUDGET_MS;

		if (kept->due_ms <= now_ms && !late && !ask(&pieces->table[i], kept, dashboard, &error)) {
			api_reply_error(dashboard, request, &error);
			return false;
		}
		whole = whole && kept->json.len_bytes > 0;
	}
	if (!whole) {
		http_reply_header(request, "Retry-After", "10");
		http_reply_problem(request, 503,
				   "The database has not answered all of this yet; the log of "
				   "muster-dashboard has the reason. It is asked again within minutes.");
	}
	return whole;
}

void pieces_reply(struct pieces *pieces, struct dashboard *dashboard, struct http_request *request)
{
	auto_pg_result struct pg_result *row = NULL;
	auto_buf struct buf answer = {0};
	struct scope *scope;

	if (!api_query_again(dashboard, request, &row, scope_sql, 0, NULL))
		return;
	scope = find_scope(pieces, pg_text(row, 0, 0));
	if (!scope) {
		http_reply_problem(request, 503, "the server is out of memory; try again in a while");
		return;
	}
	scope->used_ms = clock_mono_ms();
	if (!refresh(pieces, scope, dashboard, request))
		return;
	buf_init(&answer, API_ANSWER_MAX_BYTES);
	(void)buf_addf(&answer, "{\"at\":%s,\"all\":%s", pg_text(row, 0, 1), pg_text(row, 0, 2));
	for (size_t i = 0; i < pieces->count; i++)
		(void)buf_addf(&answer, ",\"%s\":%s", pieces->table[i].name, buf_str(&scope->kept[i].json));
	(void)buf_add_str(&answer, "}");
	api_reply_text(request, 200, buf_str(&answer));
}
