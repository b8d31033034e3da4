#include "dashboard/ask.h"

#include "common/clock.h"
#include "common/command_request.h"
#include "common/crypto.h"
#include "dashboard/api.h"
#include "dashboard/commands.h"

#include <stdio.h>
#include <string.h>

// $1 device, $2 when it may begin (ms; null: at once), $3 who asks.
static const char FACTS_SQL[] =
	"select d.device is not null, coalesce(d.enabled, false), (select (extract(epoch from opens) * 1000)::bigint"
	" from next_window(d.time_zone, d.maintenance_window, greatest(now(), to_timestamp($2::bigint / 1000.0)))),"
	" (extract(epoch from now()) * 1000)::bigint, command_over_limit($3, now(), 9223372036854775807)"
	" from (select $1::text as device) a left join device d on d.device = a.device";
enum facts { KNOWN, ENABLED, OPENS_MS, NOW_MS, OVER_LIMIT };
static const char FIND_SQL[] = "select id, device = $3 and action = $4 and params = $5::jsonb from command"
			       " where requested_by = $1 and idempotency_key = $2";
// Of two that come at once with the same key, the second waits here for the first, and inserts nothing.
static const char CREATE_SQL[] =
	"insert into command (device, action, params, requested_by, source, request_id, idempotency_key, not_before,"
	" expires_at, in_window, confirmed, max_attempts) values ($1, $2, $3::jsonb, $4, $5, $6, $7,"
	" to_timestamp($8::bigint / 1000.0),"
	" greatest(now(), to_timestamp($8::bigint / 1000.0)) + $9::integer * interval '1 second', $10, $11,"
	" $12::integer) on conflict (requested_by, idempotency_key) where idempotency_key is not null do nothing"
	" returning id";

enum outcome { CREATED, REPEATED, REFUSED, OTHER_REQUEST, STATEMENT_FAILED };

struct ask {
	struct dashboard *dashboard;
	struct http_request *http;
	const struct asker *asker;
	struct command_request request;
	const char *key; // NULL: none
	char id[COMMAND_ID_BYTES];
	char begin[24], ttl[24], attempts[24];
	struct refusal refusal;
	struct error error;
};

static bool is_key(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return length > 0 && length <= REQUEST_ID_MAX;
}

static const char *begin_of(const struct ask *ask)
{
	return ask->request.begin_ms > 0 ? ask->begin : NULL;
}

// False: go on. True: *outcome says what the key led to.
static bool find_earlier(struct ask *ask, enum outcome *outcome)
{
	auto_pg_result struct pg_result *earlier = NULL;

	if (!ask->key)
		return false;
	if (!PG_QUERY(ask->dashboard->pg, &earlier, &ask->error, FIND_SQL, ask->asker->name, ask->key,
		      ask->request.device, ask->request.action, json_text(ask->request.params))) {
		*outcome = STATEMENT_FAILED;
		return true;
	}
	if (pg_rows(earlier) == 0)
		return false;
	(void)snprintf(ask->id, sizeof(ask->id), "%s", pg_text(earlier, 0, 0));
	*outcome = pg_bool(earlier, 0, 1) ? REPEATED : OTHER_REQUEST;
	return true;
}

static enum outcome check(struct ask *ask)
{
	const struct command_request *request = &ask->request;
	auto_pg_result struct pg_result *facts = NULL;
	struct command_demand demand = {
		.device = request->device,
		.action = request->action,
		.params = request->params,
		.confirmed = request->confirmed,
		.begin_ms = request->begin_ms,
		.in_window = request->in_window,
	};

	if (!PG_QUERY(ask->dashboard->pg, &facts, &ask->error, FACTS_SQL, request->device, begin_of(ask),
		      ask->asker->name))
		return STATEMENT_FAILED;
	demand.device_known = pg_bool(facts, 0, KNOWN);
	demand.device_enabled = pg_bool(facts, 0, ENABLED);
	demand.opens_ms = pg_int(facts, 0, OPENS_MS);
	demand.now_ms = pg_int(facts, 0, NOW_MS);
	demand.over_limit = pg_bool(facts, 0, OVER_LIMIT);
	demand.expires_ms =
		(request->begin_ms > demand.now_ms ? request->begin_ms : demand.now_ms) + request->ttl_s * 1000;
	return command_demand_check(&demand, &ask->refusal) ? CREATED : REFUSED;
}

static enum outcome create(struct ask *ask)
{
	const struct command_request *request = &ask->request;
	const char *params = json_text(request->params);
	auto_pg_result struct pg_result *made = NULL;
	auto_buf struct buf detail = {0};
	enum outcome outcome = STATEMENT_FAILED;

	if (find_earlier(ask, &outcome))
		return outcome;
	outcome = check(ask);
	if (outcome != CREATED)
		return outcome;
	if (!PG_QUERY(ask->dashboard->pg, &made, &ask->error, CREATE_SQL, request->device, request->action, params,
		      ask->asker->name, ask->asker->source, http_request_id(ask->http), ask->key, begin_of(ask),
		      ask->ttl, request->in_window ? "true" : "false", request->confirmed ? "true" : "false",
		      ask->attempts))
		return STATEMENT_FAILED;
	if (pg_rows(made) == 0)
		return find_earlier(ask, &outcome) ? outcome : STATEMENT_FAILED;
	(void)snprintf(ask->id, sizeof(ask->id), "%s", pg_text(made, 0, 0));
	buf_init(&detail, COMMAND_PARAMS_MAX_BYTES + 1024);
	buf_addf(&detail, "{\"command\":\"%s\",\"action\":\"%s\",\"params\":%s}", ask->id, request->action, params);
	return api_audit(ask->dashboard, ask->http, ask->asker->name, "command.request", request->device,
			 buf_str(&detail), &ask->error)
		       ? CREATED
		       : STATEMENT_FAILED;
}

static void reply_refusal(struct http_request *request, const struct refusal *refusal)
{
	static const struct {
		const char *what;
		int status;
	} table[] = {
		{"unknown device", 404},
		{"device disabled", 409},
		{"no maintenance window", 409},
		{"too many requests", 429},
	};
	int status = 422;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(table[i].what, refusal->what) == 0)
			status = table[i].status;
	}
	if (status == 429)
		http_reply_header(request, "Retry-After", "60");
	http_reply_problem(request, status, refusal->detail);
}

static void reply(struct ask *ask, enum outcome outcome)
{
	switch (outcome) {
	case CREATED:
		log_info("command.request", "request_id", http_request_id(ask->http), "command", ask->id, "user",
			 ask->asker->name);
		commands_reply(ask->dashboard, ask->http, 202, ask->id);
		return;
	case REPEATED:
		commands_reply(ask->dashboard, ask->http, 202, ask->id);
		return;
	case REFUSED:
		reply_refusal(ask->http, &ask->refusal);
		return;
	case OTHER_REQUEST:
		http_reply_problem(ask->http, 422,
				   "This Idempotency-Key was used for another command; take a new one.");
		return;
	case STATEMENT_FAILED:
		api_reply_error(ask->dashboard, ask->http, &ask->error);
		return;
	}
}

static enum outcome store(struct ask *ask)
{
	struct pg *pg = ask->dashboard->pg;
	enum outcome outcome = STATEMENT_FAILED;

	if (!pg_ready(pg, &ask->error) || !pg_begin(pg, &ask->error))
		return STATEMENT_FAILED;
	outcome = create(ask);
	if (outcome != CREATED)
		pg_rollback(pg);
	else if (!pg_commit(pg, &ask->error))
		outcome = STATEMENT_FAILED;
	return outcome;
}

void ask_command(struct dashboard *dashboard, struct http_request *request, const struct asker *asker,
		 const struct json *json)
{
	static const char *const others[] = {NULL};
	auto_free struct ask *ask = calloc(1, sizeof(*ask));

	if (!ask) {
		http_reply_problem(request, 503, "Out of memory: try again later.");
		return;
	}
	*ask = (struct ask){
		.dashboard = dashboard,
		.http = request,
		.asker = asker,
		.key = http_header(request, "Idempotency-Key"),
	};
	if (!command_request_read(json, others, clock_wall_ms(), &ask->request, &ask->refusal)) {
		reply_refusal(request, &ask->refusal);
	} else if (ask->key && !is_key(ask->key)) {
		http_reply_problem(request, 422,
				   "Idempotency-Key must be 1 to 64 printable characters without spaces.");
	} else {
		(void)snprintf(ask->begin, sizeof(ask->begin), "%lld", (long long)ask->request.begin_ms);
		(void)snprintf(ask->ttl, sizeof(ask->ttl), "%lld", (long long)ask->request.ttl_s);
		(void)snprintf(ask->attempts, sizeof(ask->attempts), "%lld", (long long)ask->request.max_attempts);
		reply(ask, store(ask));
	}
	command_request_done(&ask->request);
}
