#include "dashboard/commands.h"

#include "common/action.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/limits.h"
#include "dashboard/api.h"
#include "dashboard/ask.h"
#include "dashboard/auth.h"
#include "dashboard/feed.h"
#include "dashboard/wakes.h"

#include <stdio.h>
#include <string.h>

#define COMMAND \
	"json_build_object('id', c.id, 'device', c.device, 'action', c.action, 'params', c.params," \
	" 'state', c.state, 'n', c.n, 'requested_by', c.requested_by, 'source', c.source," \
	" 'request_id', c.request_id, 'created_at', c.created_at, 'expires_at', c.expires_at," \
	" 'sent_at', c.sent_at, 'attempts', c.attempts, 'finished_at', c.finished_at," \
	" 'changed_at', c.changed_at, 'reason', c.reason, 'result', c.result, 'not_before', c.not_before,"            \
	" 'in_window', c.in_window, 'next_at', c.next_at, 'held', c.held, 'max_attempts', c.max_attempts,"             \
	" 'accept_by', c.accept_by, 'finish_by', c.finish_by, 'progress', c.progress,"                                 \
	" 'idempotency_key', c.idempotency_key, 'cancel_requested_at', c.cancel_requested_at,"                         \
	" 'cancel_requested_by', c.cancel_requested_by, 'cancels', c.cancels, 'campaign', c.campaign)"
#define PURGE_MAX 5000 // one request must end within the statement's time
#define PURGE_BATCH "5000"
#define MISSING "There is no command with this id; GET /api/v1/commands lists them."
#define TIME(micros) "(timestamptz 'epoch' + " micros "::bigint * interval '1 microsecond')"
#define MICROS(time) "(extract(epoch from " time ") * 1000000)::bigint"

// $1 device, $2 state or "open", $3 and $4 created_at and id of the last one seen, $5 limit, $6 action, $7 requester,
// $8 request id, $9 campaign, $10 and $11 from and until when (ms). Newest first.
static const char LIST_SQL[] =
	"select " COMMAND ", " MICROS("c.created_at") " || '.' || c.id from command c"
	" where ($1::text is null or c.device = $1)"
	" and ($2::text is null or c.state = $2"
	"  or ($2 = 'open' and c.state in ('requested', 'queued', 'sent', 'accepted', 'running')))"
	" and ($3::bigint is null or (c.created_at <= " TIME("$3")
	"  and (c.created_at < " TIME("$3") " or c.id > $4::uuid)))"
	" and ($6::text is null or c.action = $6) and ($7::text is null or c.requested_by = $7)"
	" and ($8::text is null or c.request_id = $8) and ($9::bigint is null or c.campaign = $9)"
	" and ($10::bigint is null or c.created_at >= to_timestamp($10 / 1000.0))"
	" and ($11::bigint is null or c.created_at < to_timestamp($11 / 1000.0))"
	" order by c.created_at desc, c.id limit $5::integer + 1";
static const char GET_SQL[] =
	"select (" COMMAND ")::jsonb || jsonb_build_object('jws', c.jws, 'confirmed', c.confirmed,"
	" 'results', coalesce(("
	"select jsonb_agg(jsonb_build_object('state', r.state, 'received_at', r.received_at, 'verdict', r.verdict,"
	" 'certificate', r.certificate, 'signed', r.signed, 'sig', r.body ->> 'sig', 'body', r.body - 'sig')"
	" order by r.received_at, r.seq) from command_result r where r.device = c.device"
	" and r.command = c.id::text), '[]'),"
	" 'woken_at', c.woken_at, 'wakes', " WAKES_OF_COMMAND_SQL
	", 'events', coalesce((select jsonb_agg(jsonb_build_object("
	"'state', e.state, 'at', e.at, 'cause', e.cause, 'request_id', e.request_id) order by e.id)"
	" from command_event e where e.command = c.id), '[]')) from command c where c.id = $1::uuid";
const char commands_changed_sql[] =
	"select c.id, " MICROS("c.changed_at") ", " COMMAND ", c.device, " FEED_SCOPE_SQL " from (select * from command"
	" where changed_at > " TIME("$1") " and ($3::text[] is null or device = any ($3::text[]))"
	" order by changed_at desc limit $2::integer) c left join device d on d.device = c.device"
	" order by c.changed_at desc";

static const char ONE_SQL[] = "select " COMMAND " from command c where c.id = $1::uuid";
static const char CANCEL_SQL[] =
	"update command set cancel_requested_at = coalesce(cancel_requested_at, now()),"
	" cancel_requested_by = coalesce(cancel_requested_by, $2) where id = $1::uuid and source <> 'internal'"
	" and (state in ('requested', 'queued', 'sent') or (state in ('accepted', 'running') and action = any ($3)))"
	" returning device";
static const char EMPTY_SQL[] =
	"with c as (update command set cancel_requested_at = now(), cancel_requested_by = $2 where device = $1"
	" and state in ('requested', 'queued') and cancel_requested_at is null and source <> 'internal' returning 1)"
	" select count(*) from c";
static const char PURGE_SQL[] = "select purge_commands($1::bigint * interval '1 second', " PURGE_BATCH ")";

static bool is_number(struct http_request *request, const char *name)
{
	int64_t ignored = 0;

	return api_int(request, name, 0, INT64_MAX, &ignored);
}

void commands_list(struct http_request *request, void *user)
{
	static const char *const states[] = {"open",	  "requested", "queued",    "sent",    "accepted", "running",
					     "succeeded", "failed",    "cancelled", "expired", "rejected", NULL};
	const char *after = api_text(request, "after"), *created = NULL, *id = NULL;
	char cursor[API_CURSOR_MAX], limit_text[API_LIMIT_BYTES], *parts[2];
	int64_t limit = 0, ignored = 0;

	if (!api_limit_text(request, &limit, limit_text) || !api_choice(request, "state", states) ||
	    !is_number(request, "campaign") || !is_number(request, "from") || !is_number(request, "to"))
		return;
	if (after) {
		(void)snprintf(cursor, sizeof(cursor), "%s", after);
		if (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &ignored) ||
		    !crypto_is_uuid(parts[1])) {
			(void)api_bad_cursor(request);
			return;
		}
		created = parts[0];
		id = parts[1];
	}

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_text(request, "device"),
				      api_text(request, "state"),
				      created,
				      id,
				      limit_text,
				      api_text(request, "action"),
				      api_text(request, "requested_by"),
				      api_text(request, "request_id"),
				      api_text(request, "campaign"),
				      api_text(request, "from"),
				      api_text(request, "to")};

	if (api_query(user, request, &rows, LIST_SQL, sizeof(params) / sizeof(params[0]), params))
		api_reply_page(request, rows, limit);
}

void commands_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {http_param(request, "id")};

	if (!crypto_is_uuid(params[0]))
		http_reply_problem(request, 404, MISSING);
	else if (api_query(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows, MISSING);
}

void commands_reply(struct dashboard *dashboard, struct http_request *request, int status, const char *id)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {id};
	char location[96];

	if (!api_query(dashboard, request, &rows, ONE_SQL, 1, params))
		return;
	(void)snprintf(location, sizeof(location), "/api/v1/commands/%s", id);
	http_reply_header(request, "Location", location);
	api_reply_text(request, status, pg_text(rows, 0, 0));
}

void commands_create(struct http_request *request, void *user)
{
	const struct auth *auth = auth_of(request);
	const struct asker asker = {auth->user, auth->by_cookie ? "web" : "api"};
	auto_json struct json *json = http_body_json(request);

	if (json)
		ask_command(user, request, &asker, json);
}

// ---- cancelling and removing ----

// The actions that can be ended while they run, as a text[] literal.
static void add_cancellable(struct buf *out)
{
	size_t count = 0;
	const struct action *table = action_table(&count);

	buf_add_str(out, "{");
	for (size_t i = 0; i < count; i++) {
		if (table[i].cancellable)
			buf_addf(out, "%s%s", out->len_bytes > 1 ? "," : "", table[i].name);
	}
	buf_add_str(out, "}");
}

static void refuse_cancel(struct dashboard *dashboard, struct http_request *request, const char *id)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {id};
	char detail[256];

	if (!api_query(dashboard, request, &rows, "select state, action from command where id = $1::uuid", 1, params))
		return;
	if (pg_rows(rows) == 0) {
		http_reply_problem(request, 404, MISSING);
		return;
	}
	(void)snprintf(detail, sizeof(detail), "This command is %s, and %s cannot be cancelled then.",
		       pg_text(rows, 0, 0), pg_text(rows, 0, 1));
	http_reply_problem(request, 409, detail);
}

// Runs one statement and the row of the audit; false: it is answered, or (*rows set) there was no row.
static bool change(struct dashboard *dashboard, struct http_request *request, struct pg_result **rows, const char *sql,
		   size_t count, const char *const *params)
{
	struct error error = {0};

	if (!pg_ready(dashboard->pg, &error) || !pg_begin(dashboard->pg, &error) ||
	    !pg_query(dashboard->pg, rows, &error, sql, count, params)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		return false;
	}
	return true;
}

static bool audited(struct dashboard *dashboard, struct http_request *request, const char *action, const char *target,
		    const char *detail)
{
	struct error error = {0};

	if (api_audit(dashboard, request, auth_of(request)->user, action, target, detail, &error) &&
	    pg_commit(dashboard->pg, &error))
		return true;
	pg_rollback(dashboard->pg);
	api_reply_error(dashboard, request, &error);
	return false;
}

void commands_cancel(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *id = http_param(request, "id");
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf actions = {0};
	char detail[96];

	if (!crypto_is_uuid(id)) {
		http_reply_problem(request, 404, MISSING);
		return;
	}
	buf_init(&actions, 4096);
	add_cancellable(&actions);
	const char *const params[] = {id, auth_of(request)->user, buf_str(&actions)};

	if (!change(dashboard, request, &rows, CANCEL_SQL, 3, params))
		return;
	if (pg_rows(rows) == 0) {
		pg_rollback(dashboard->pg);
		refuse_cancel(dashboard, request, id);
		return;
	}
	(void)snprintf(detail, sizeof(detail), "{\"command\":\"%s\"}", id);
	if (audited(dashboard, request, "command.cancel", pg_text(rows, 0, 0), detail))
		commands_reply(dashboard, request, 202, id);
}

static void empty_queue(struct dashboard *dashboard, struct http_request *request, const char *device)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {device, auth_of(request)->user};
	char answer[64];

	if (!change(dashboard, request, &rows, EMPTY_SQL, 2, params))
		return;
	(void)snprintf(answer, sizeof(answer), "{\"cancelling\":%lld}", (long long)pg_int(rows, 0, 0));
	if (audited(dashboard, request, "command.empty", device, answer))
		api_reply_text(request, 202, answer);
}

static void purge(struct dashboard *dashboard, struct http_request *request, int64_t older_s)
{
	auto_pg_result struct pg_result *rows = NULL;
	char seconds[24], answer[64];
	const char *const params[] = {seconds};

	if (auth_of(request)->role != ROLE_ADMINISTRATOR) {
		http_reply_problem(request, 403, "Only an administrator removes what has ended.");
		return;
	}
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)older_s);
	if (!change(dashboard, request, &rows, PURGE_SQL, 1, params))
		return;
	(void)snprintf(answer, sizeof(answer), "{\"removed\":%lld,\"more\":%s}", (long long)pg_int(rows, 0, 0),
		       pg_int(rows, 0, 0) == PURGE_MAX ? "true" : "false");
	if (audited(dashboard, request, "command.purge", "", answer))
		api_reply_text(request, 200, answer);
}

void commands_remove(struct http_request *request, void *user)
{
	const char *device = api_text(request, "device"), *older = api_text(request, "older_than_s");
	int64_t older_s = 0;

	if (!device == !older)
		http_reply_problem(request, 400,
				   "Say what: device=<id> cancels what waits for that device; older_than_s=<seconds> "
				   "removes commands that ended before.");
	else if (device)
		empty_queue(user, request, device);
	else if (api_int(request, "older_than_s", 0, INT32_MAX, &older_s))
		purge(user, request, older_s);
}
