#include "dashboard/api_keys.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "dashboard/auth.h"
#include "dashboard/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEYS_MAX 500
#define KEYS_MAX_TEXT "501"
#define LABEL_MAX 100
#define LIFE_MAX_DAYS 366
#define DAY_MS INT64_C(86400000)

#define KEY                                                                                                            \
	"json_build_object('id', t.id, 'user', t.user_name, 'label', t.label, 'role', t.role, 'scopes', t.scopes,"     \
	" 'group', t.device_group, 'created_at', t.created_at, 'created_by', t.created_by, 'last_used', t.last_used,"  \
	" 'expires_at', t.expires_at, 'revoked_at', t.revoked_at)"
// $1 null: everybody's. Those that ended long ago are not of interest.
static const char LIST_SQL[] =
	"select " KEY ", t.id from access_token t where t.kind = 'api' and ($1::text is null or t.user_name = $1)"
	" and t.expires_at > now() - interval '30 days' and coalesce(t.revoked_at, now()) > now() - interval '30 days'"
	" order by t.revoked_at is not null, t.created_at desc, t.id limit " KEYS_MAX_TEXT;
static const char CREATE_SQL[] =
	"insert into access_token as t (token_hash, kind, user_name, label, role, scopes, device_group, group_tenant,"
	" created_by, peer, expires_at) values (decode($1, 'hex'), 'api', $2, $3, $4, $5::text[], $6, $7, $2, $8,"
	" to_timestamp($9::bigint / 1000.0)) returning " KEY;
static const char GROUP_SQL[] = "select tenant from device_group where name = $1 limit 2";
static const char REVOKE_SQL[] =
	"update access_token t set revoked_at = now() where t.id = $1 and t.kind = 'api' and t.revoked_at is null"
	" and ($2::text is null or t.user_name = $2) returning " KEY;

void api_keys_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const struct auth *auth = auth_of(request);
	const char *whose = api_text(request, "user");
	bool all = whose && strcmp(whose, "*") == 0;
	const char *const params[] = {all ? NULL : whose ? whose : auth->user};

	if (whose && strcmp(whose, auth->user) != 0 && auth->role != ROLE_ADMINISTRATOR)
		http_reply_problem(request, 403, "Only administrators see the keys of others.");
	else if (api_query_again(user, request, &rows, LIST_SQL, 1, params))
		api_reply_page(request, rows, KEYS_MAX);
}

struct wish {
	const char *label, *role, *group; // NULL: none
	char group_tenant[SCOPE_TENANT_MAX];
	char scopes[AUTH_SCOPES_MAX]; // "read,commands"
	int64_t expires_ms;
};

static bool unsound(struct http_request *request, const char *detail)
{
	http_reply_problem(request, 422, detail);
	return false;
}

static bool read_scopes(struct http_request *request, const struct json *body, struct wish *out)
{
	static const char known[] = "read,commands,devices,enrolment,alerts,people";
	const struct json *list = json_member(body, "scopes");
	size_t used = 0;

	if (!list || json_type(list) == JSON_NULL)
		return true;
	for (size_t i = 0; i < json_array_length(list); i++) {
		const char *scope = "";

		if (!json_as_string(json_array_at(list, i), &scope) || !*scope || strchr(scope, ',') ||
		    !auth_scopes_hold(known, scope) || used + strlen(scope) + 2 > sizeof(out->scopes))
			return unsound(request,
				       "\"scopes\" are of read, commands, devices, enrolment, alerts, people.");
		used += (size_t)snprintf(out->scopes + used, sizeof(out->scopes) - used, "%s%s", used > 0 ? "," : "",
					 scope);
	}
	return used > 0 || unsound(request, "\"scopes\" must name one at least; leave it out for all.");
}

static bool read_role(struct http_request *request, const struct json *body, struct wish *out)
{
	const struct auth *auth = auth_of(request);
	enum role role;

	if (!json_member(body, "role") || json_type(json_member(body, "role")) == JSON_NULL)
		return true;
	if (!json_member_string(body, "role", &out->role) || !auth_role_parse(out->role, &role))
		return unsound(request, "\"role\" must be viewer, operator, administrator or auditor.");
	if (role != auth->role && role != ROLE_VIEWER && auth->role != ROLE_ADMINISTRATOR)
		return unsound(request, "A key cannot have more rights than you: your role, or viewer.");
	return true;
}

static bool read_wish(struct http_request *request, const struct json *body, struct wish *out)
{
	int64_t days = 0;

	if (!json_member_string(body, "label", &out->label) || !*out->label || strlen(out->label) > LABEL_MAX)
		return unsound(request, "\"label\" must say in 1 to 100 bytes what the key is for.");
	if (!json_member_int(body, "expires_in_days", &days) || days < 1 || days > LIFE_MAX_DAYS)
		return unsound(request, "\"expires_in_days\" must be from 1 to 366.");
	out->expires_ms = clock_wall_ms() + days * DAY_MS;
	if (json_member(body, "group") && json_type(json_member(body, "group")) != JSON_NULL &&
	    !json_member_string(body, "group", &out->group))
		return unsound(request, "\"group\" must be the name of a device group.");
	return read_role(request, body, out) && read_scopes(request, body, out);
}

// The tenant of the group, where there is one of this name that is seen; answers otherwise.
static bool find_group(struct dashboard *dashboard, struct http_request *request, struct wish *wish)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {wish->group};

	if (!wish->group)
		return true;
	if (!api_query_again(dashboard, request, &row, GROUP_SQL, 1, params))
		return false;
	if (pg_rows(row) == 0)
		return unsound(request, "There is no group of this name; GET /api/v1/groups lists them.");
	if (pg_rows(row) > 1)
		return unsound(request,
			       "Several tenants have a group of this name: somebody of the tenant makes the key.");
	(void)snprintf(wish->group_tenant, sizeof(wish->group_tenant), "%s", pg_text(row, 0, 0));
	return true;
}

static void store(struct dashboard *dashboard, struct http_request *request, const struct wish *wish)
{
	auto_pg_result struct pg_result *row = NULL;
	char token[TOKEN_TEXT_BYTES], hash[SHA256_HEX_BYTES], expires[24], list[AUTH_SCOPES_MAX + 4];
	struct error error = {0};

	crypto_random_token(token);
	crypto_sha256_hex(token, strlen(token), hash);
	(void)snprintf(expires, sizeof(expires), "%" PRId64, wish->expires_ms);
	(void)snprintf(list, sizeof(list), "{%s}", wish->scopes);
	if (!people_begin(dashboard, request) ||
	    !PEOPLE_QUERY(dashboard, request, &row, CREATE_SQL, hash, auth_of(request)->user, wish->label, wish->role,
			  wish->scopes[0] ? list : NULL, wish->group, wish->group ? wish->group_tenant : NULL,
			  http_peer(request), expires))
		return;
	struct json *answer = json_parse(pg_text(row, 0, 0), strlen(pg_text(row, 0, 0)), &error);
	const char *id = "";

	(void)json_member_string(answer, "id", &id);
	if (!answer || !people_commit(dashboard, request, "api-key.create", id, pg_text(row, 0, 0))) {
		json_free(answer);
		return;
	}
	json_set_string(answer, "key", token);
	http_reply_json(request, 201, answer);
	crypto_wipe(token, sizeof(token));
}

void api_keys_create(struct http_request *request, void *user)
{
	struct wish wish = {0};
	auto_json struct json *body = http_body_json(request);

	if (!body)
		return;
	if (!auth_of(request)->by_cookie)
		http_reply_problem(request, 403,
				   "A key cannot make keys: log in on the page, or muster api-key create.");
	else if (read_wish(request, body, &wish) && find_group(user, request, &wish))
		store(user, request, &wish);
}

void api_keys_revoke(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const struct auth *auth = auth_of(request);
	const char *id = http_param(request, "id");
	auto_pg_result struct pg_result *row = NULL;

	if (!people_begin(dashboard, request) || !PEOPLE_QUERY(dashboard, request, &row, REVOKE_SQL, id,
							       auth->role == ROLE_ADMINISTRATOR ? NULL : auth->user))
		return;
	if (pg_rows(row) == 0)
		people_refuse(dashboard, request, 404,
			      "There is no key with this id that holds; GET /api/v1/api-keys lists them.");
	else if (people_commit(dashboard, request, "api-key.revoke", id, "{}"))
		api_reply_row(request, row, "");
}
