#include "dashboard/sessions.h"

#include "dashboard/auth.h"
#include "dashboard/people.h"

#include <string.h>

#define SESSIONS_MAX 500
#define SESSIONS_MAX_TEXT "501"

// $1 whose, $2 the one that asks.
static const char LIST_SQL[] =
	"select json_build_object('id', t.id, 'user', t.user_name, 'peer', t.peer, 'user_agent', t.label,"
	" 'created_at', t.created_at, 'last_used', t.last_used, 'expires_at', t.expires_at,"
	" 'current', t.token_hash = decode($2, 'hex')), t.id from access_token t where t.user_name = $1"
	" and t.kind = 'session' and t.revoked_at is null and t.expires_at > now()"
	" order by t.last_used desc nulls last, t.id limit " SESSIONS_MAX_TEXT;
// $2 null: anybody's.
static const char END_SQL[] =
	"update access_token set revoked_at = now() where id = $1 and ($2::text is null or user_name = $2)"
	" and kind = 'session' and revoked_at is null and expires_at > now() returning encode(token_hash, 'hex'), "
	"user_name";
static const char OTHERS_SQL[] =
	"update access_token set revoked_at = now() where user_name = $1 and kind = 'session' and revoked_at is null"
	" and token_hash <> decode($2, 'hex') returning encode(token_hash, 'hex')";

static bool is_administrator(const struct http_request *request)
{
	return auth_of(request)->role == ROLE_ADMINISTRATOR;
}

void sessions_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *whose = api_text(request, "user");
	const struct auth *auth = auth_of(request);
	const char *const params[] = {whose ? whose : auth->user, auth->token_hash};

	if (whose && strcmp(whose, auth->user) != 0 && !is_administrator(request))
		http_reply_problem(request, 403, "Only administrators see the sessions of others.");
	else if (api_query_again(user, request, &rows, LIST_SQL, 2, params))
		api_reply_page(request, rows, SESSIONS_MAX);
}

void sessions_end(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *id = http_param(request, "id");
	auto_pg_result struct pg_result *ended = NULL;

	if (!people_begin(dashboard, request) ||
	    !PEOPLE_QUERY(dashboard, request, &ended, END_SQL, id,
			  is_administrator(request) ? NULL : auth_of(request)->user))
		return;
	if (pg_rows(ended) == 0) {
		people_refuse(dashboard, request, 404, "There is no such session; GET /api/v1/sessions lists them.");
		return;
	}
	if (people_commit(dashboard, request, "session.end", pg_text(ended, 0, 1), "{}")) {
		people_end_streams(dashboard, ended);
		http_reply(request, 204, NULL, NULL, 0);
	}
}

void sessions_end_others(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const struct auth *auth = auth_of(request);
	auto_pg_result struct pg_result *ended = NULL;

	if (people_begin(dashboard, request) &&
	    PEOPLE_QUERY(dashboard, request, &ended, OTHERS_SQL, auth->user, auth->token_hash) &&
	    people_commit(dashboard, request, "session.end-others", auth->user, "{}")) {
		people_end_streams(dashboard, ended);
		http_reply(request, 204, NULL, NULL, 0);
	}
}
