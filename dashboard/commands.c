#include "dashboard/commands.h"

#include "common/action.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/limits.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <string.h>

#define COMMAND \
	"json_build_object('id', c.id, 'device', c.device, 'action', c.action, 'params', c.params," \
	" 'state', c.state, 'n', c.n, 'requested_by', c.requested_by, 'source', c.source," \
	" 'request_id', c.request_id, 'created_at', c.created_at, 'expires_at', c.expires_at," \
	" 'sent_at', c.sent_at, 'attempts', c.attempts, 'finished_at', c.finished_at," \
	" 'changed_at', c.changed_at, 'reason', c.reason, 'result', c.result)"
#define TIME(micros) "(timestamptz 'epoch' + " micros "::bigint * interval '1 microsecond')"
#define MICROS(time) "(extract(epoch from " time ") * 1000000)::bigint"

// $1 device, $2 state or "open", $3 and $4 created_at and id of the last one seen, $5 limit. Newest first.
static const char LIST_SQL[] =
	"select " COMMAND ", " MICROS("c.created_at") " || '.' || c.id from command c"
	" where ($1::text is null or c.device = $1)"
	" and ($2::text is null or c.state = $2"
	"  or ($2 = 'open' and c.state in ('requested', 'queued', 'sent', 'accepted', 'running')))"
	" and ($3::bigint is null or (c.created_at <= " TIME("$3")
	"  and (c.created_at < " TIME("$3") " or c.id > $4::uuid)))"
	" order by c.created_at desc, c.id limit $5::integer + 1";
static const char GET_SQL[] =
	"select (" COMMAND ")::jsonb || jsonb_build_object('events', coalesce((select jsonb_agg(jsonb_build_object("
	"'state', e.state, 'at', e.at, 'cause', e.cause, 'request_id', e.request_id) order by e.id)"
	" from command_event e where e.command = c.id), '[]')) from command c where c.id = $1::uuid";
const char commands_changed_sql[] =
	"select c.id, " MICROS("c.changed_at") ", " COMMAND " from command c where c.changed_at > " TIME("$1")
	" order by c.changed_at desc limit $2::integer";

static const char DEVICE_SQL[] = "select enabled from device where device = $1";
static const char CREATE_SQL[] =
	"insert into command (device, action, params, requested_by, source, request_id, expires_at)"
	" values ($1, $2, $3::jsonb, $4, $5, $6, now() + $7::integer * interval '1 second') returning id";
// An Idempotency-Key becomes the command's request_id, by which the same user's repetition for the same device finds
// it for a day. The lock makes simultaneous repetitions wait for each other.
static const char KEY_LOCK_SQL[] = "select pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))";
static const char KEY_FIND_SQL[] =
	"select c.id, c.action = $4 and c.params = $5::jsonb from command c where c.device = $1 and c.requested_by = $2"
	" and c.request_id = $3 and c.created_at > now() - interval '1 day' order by c.created_at desc limit 1";
static const char ONE_SQL[] = "select " COMMAND " from command c where c.id = $1::uuid";


struct request_body {
	const char *device, *action;
	int64_t ttl_s;
	struct json *params; // owned
};

void commands_list(struct http_request *request, void *user)
{
	const char *after = api_text(request, "after"), *created = NULL, *id = NULL;
	char cursor[API_CURSOR_MAX], limit_text[24], *parts[2];
	int64_t limit = 0, ignored = 0;

	if (!api_limit(request, &limit))
		return;
	if (after) {
		(void)snprintf(cursor, sizeof(cursor), "%s", after);
		if (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &ignored) || !crypto_is_uuid(parts[1])) {
			(void)api_bad_cursor(request);
			return;
		}
		created = parts[0];
		id = parts[1];
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_text(request, "device"), api_text(request, "state"), created, id, limit_text};

	if (api_query(user, request, &rows, LIST_SQL, 5, params))
		api_reply_page(request, rows, limit);
}

void commands_get(struct http_request *request, void *user)
{
	static const char missing[] = "There is no command with this id; GET /api/v1/commands lists them.";
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {http_param(request, "id")};

	if (!crypto_is_uuid(params[0]))
		http_reply_problem(request, 404, missing);
	else if (api_query(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows, missing);
}

// The same table that commander and the device go by, so that a mistake is told to whoever makes it.
static bool read_action(const struct json *json, struct request_body *body, struct error *error)
{
	const struct json *params = json_member(json, "params");
	size_t count;
	const struct action *table = action_table(&count);

	if (!json_member_string(json, "action", &body->action))
		body->action = "";
	const struct action *action = action_find(body->action);
	if (!action || action->internal) {
		auto_buf struct buf names;
		buf_init(&names, sizeof(error->what) - 64);
		for (size_t i = 0; i < count; i++)
			if (!table[i].internal)
				buf_addf(&names, "%s%s", i > 0 ? ", " : "", table[i].name);
		return error_set(error, ERROR_INVALID, "\"action\" must be one of: %s.", buf_str(&names));
	}
	if (params && json_type(params) != JSON_OBJECT)
		return error_set(error, ERROR_INVALID, "\"params\" must be an object, {} when there are none.");
	if (!action_check_params(action, params, error))
		return false;
	body->params = params ? json_copy(params) : json_new_object();
	return strlen(json_text(body->params)) <= COMMAND_PARAMS_MAX_BYTES ||
	       error_set(error, ERROR_INVALID, "\"params\" must not be above 32 kB.");
}

// body->params must be freed, also after a failure.
static bool read_body(const struct json *json, struct request_body *body, struct error *error)
{
	const struct json *ttl = json_member(json, "ttl_s");

	if (!json_member_string(json, "device", &body->device))
		return error_set(error, ERROR_INVALID, "\"device\" is needed: the id of a device.");
	body->ttl_s = COMMAND_TTL_DEFAULT_S;
	if (ttl && (!json_as_int(ttl, &body->ttl_s) || body->ttl_s < 1 || body->ttl_s > COMMAND_TTL_MAX_S))
		return error_set(error, ERROR_INVALID, "\"ttl_s\" must be an integer from 1 to 2592000 (30 days).");
	return read_action(json, body, error);
}

static bool is_key(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return length > 0 && length <= REQUEST_ID_MAX;
}

enum outcome { CREATED, REPEATED, UNKNOWN_DEVICE, DISABLED_DEVICE, OTHER_REQUEST, STATEMENT_FAILED };

// In a transaction: looks for an earlier request with this key, checks the device, inserts command and audit row.
static enum outcome create(struct dashboard *dashboard, struct http_request *request, const struct request_body *body,
			   const char *key, char id[COMMAND_ID_BYTES], struct error *error)
{
	const struct auth *auth = auth_of(request);
	const char *params = json_text(body->params), *request_id = key ? key : http_request_id(request);
	auto_pg_result struct pg_result *earlier = NULL, *device = NULL, *made = NULL;
	auto_buf struct buf detail;
	char ttl[24];

	buf_init(&detail, COMMAND_PARAMS_MAX_BYTES + 1024);
	if (key && (!PG_QUERY(dashboard->pg, NULL, error, KEY_LOCK_SQL, auth->user, key) ||
		    !PG_QUERY(dashboard->pg, &earlier, error, KEY_FIND_SQL, body->device, auth->user, key, body->action,
			      params)))
		return STATEMENT_FAILED;
	if (earlier && pg_rows(earlier) > 0) {
		(void)snprintf(id, COMMAND_ID_BYTES, "%s", pg_text(earlier, 0, 0));
		return pg_bool(earlier, 0, 1) ? REPEATED : OTHER_REQUEST;
	}
	if (!PG_QUERY(dashboard->pg, &device, error, DEVICE_SQL, body->device))
		return STATEMENT_FAILED;
	if (pg_rows(device) == 0)
		return UNKNOWN_DEVICE;
	if (!pg_bool(device, 0, 0))
		return DISABLED_DEVICE;
	(void)snprintf(ttl, sizeof(ttl), "%lld", (long long)body->ttl_s);
	if (!PG_QUERY(dashboard->pg, &made, error, CREATE_SQL, body->device, body->action, params, auth->user,
		      auth->by_cookie ? "web" : "api", request_id, ttl))
		return STATEMENT_FAILED;
	(void)snprintf(id, COMMAND_ID_BYTES, "%s", pg_text(made, 0, 0));
	buf_addf(&detail, "{\"command\":\"%s\",\"action\":\"%s\",\"params\":%s}", id, body->action, params);
	return api_audit(dashboard, request, auth->user, "command.request", body->device, buf_str(&detail), error) ?
		       CREATED :
		       STATEMENT_FAILED;
}

static void reply_created(struct dashboard *dashboard, struct http_request *request, const char *id)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {id};
	char location[96];

	if (!api_query(dashboard, request, &rows, ONE_SQL, 1, params))
		return;
	(void)snprintf(location, sizeof(location), "/api/v1/commands/%s", id);
	http_reply_header(request, "Location", location);
	api_reply_text(request, 202, pg_text(rows, 0, 0));
}

static void reply_outcome(struct dashboard *dashboard, struct http_request *request, enum outcome outcome,
			  const char *id, const struct error *error)
{
	switch (outcome) {
	case CREATED:
		log_info("command.request", "request_id", http_request_id(request), "command", id, "user",
			 auth_of(request)->user);
		reply_created(dashboard, request, id);
		return;
	case REPEATED:
		reply_created(dashboard, request, id);
		return;
	case UNKNOWN_DEVICE:
		http_reply_problem(request, 404, "There is no device with this id; GET /api/v1/devices lists them.");
		return;
	case DISABLED_DEVICE:
		http_reply_problem(request, 409, "This device is disabled; enable it before sending commands.");
		return;
	case OTHER_REQUEST:
		http_reply_problem(request, 422, "This Idempotency-Key was used for another command; take a new one.");
		return;
	case STATEMENT_FAILED:
		api_reply_error(dashboard, request, error);
		return;
	}
}

void commands_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *key = http_header(request, "Idempotency-Key");
	auto_json struct json *json = http_body_json(request);
	char id[COMMAND_ID_BYTES] = "";
	struct error error = {0};

	if (!json)
		return;
	struct request_body body = {0};
	bool sound = read_body(json, &body, &error);
	auto_json struct json *params = body.params;

	if (sound && key && !is_key(key))
		sound = error_set(&error, ERROR_INVALID,
				  "Idempotency-Key must be 1 to 64 printable characters without spaces.");
	if (!sound) {
		http_reply_problem(request, 422, error.what);
		return;
	}

	enum outcome outcome = STATEMENT_FAILED;

	if (pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error)) {
		outcome = create(dashboard, request, &body, key, id, &error);
		if (outcome != CREATED)
			pg_rollback(dashboard->pg);
		else if (!pg_commit(dashboard->pg, &error))
			outcome = STATEMENT_FAILED;
	}
	reply_outcome(dashboard, request, outcome, id, &error);
}
