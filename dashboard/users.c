#include "dashboard/users.h"

#include "common/crypto.h"
#include "common/json.h"
#include "common/query.h"
#include "dashboard/auth.h"
#include "dashboard/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINK_LIFETIME "1 day"
#define TEXT_MAX 64

#define USER                                                                                                           \
	"json_build_object('name', u.name, 'role', u.role, 'email', u.email, 'enabled', u.enabled, 'tenant', "         \
	"u.tenant,"                                                                                                    \
	" 'created_at', u.created_at, 'has_password', u.password_hash is not null, 'second_factor', u.totp_at,"        \
	" 'sessions', (select count(*) from access_token t where t.user_name = u.name and t.kind = 'session'"          \
	" and t.revoked_at is null and t.expires_at > now()),"                                                         \
	" 'api_keys', (select count(*) from access_token t where t.user_name = u.name and t.kind = 'api'"              \
	" and t.revoked_at is null and t.expires_at > now()),"                                                         \
	" 'last_seen', (select max(t.last_used) from access_token t where t.user_name = u.name))"
// Whoever acts for one tenant makes and keeps people of that one.
#define WHOLE "coalesce(current_setting('muster.tenant', true), '') in ('', '*')"

static const char LIST_SQL[] =
	"select " USER ", u.name from user_account u where ($1::text is null or u.name > $1)"
	" and ($2::text is null or u.role = $2) and ($3::text is null or position(lower($3) in u.name) > 0"
	" or position(lower($3) in lower(u.email)) > 0) order by u.name limit $4::integer + 1";
static const char ONE_SQL[] = "select " USER " from user_account u where u.name = $1";
static const char CREATE_SQL[] = "insert into user_account (name, role, email, tenant) values ($1, $2, nullif($3, ''),"
				 " case when " WHOLE " then nullif($4, '') else current_setting('muster.tenant') end)";
// What is null stays; an empty e-mail or tenant is taken away. Sessions end by a trigger, which is why they are asked
// for before.
static const char SESSIONS_SQL[] =
	"select encode(t.token_hash, 'hex') from access_token t join user_account u on u.name = t.user_name"
	" where t.user_name = $1 and t.kind = 'session' and t.revoked_at is null"
	" and (u.role <> coalesce($2, u.role) or u.enabled <> coalesce($3::boolean, u.enabled) or $4::text is not "
	"null)";
static const char CHANGE_SQL[] =
	"update user_account u set role = coalesce($2, role), enabled = coalesce($3::boolean, enabled),"
	" tenant = case when $4::text is null or not " WHOLE " then tenant else nullif($4, '') end,"
	" email = case when $5::text is null then email else nullif($5, '') end where u.name = $1 returning 1";
static const char DELETE_SQL[] = "delete from user_account where name = $1 returning 1";
static const char LINK_SQL[] =
	"insert into access_token (token_hash, kind, user_name, label, peer, created_by, expires_at)"
	" select decode($2, 'hex'), 'login', u.name, 'link from the page', $3, $4, now() + interval '" LINK_LIFETIME "'"
	" from user_account u where u.name = $1 and u.enabled returning 1";
static const char TOTP_SQL[] = "with codes as (delete from recovery_code where user_name = $1)"
			       " update user_account set totp_at = null, totp_secret = null where name = $1 and "
			       "totp_secret is not null returning 1";

#define MISSING "There is no account of this name; GET /api/v1/users lists them."

void users_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	int64_t limit = 0;
	char limit_text[24];

	if (!api_limit(request, &limit))
		return;
	(void)snprintf(limit_text, sizeof(limit_text), "%" PRId64, limit);

	const char *const params[] = {api_text(request, "after"), api_text(request, "role"), api_text(request, "q"),
				      limit_text};

	if (api_query_again(user, request, &rows, LIST_SQL, 4, params))
		api_reply_page(request, rows, limit);
}

void users_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {http_param(request, "name")};

	if (api_query_again(user, request, &row, ONE_SQL, 1, params))
		api_reply_row(request, row, MISSING);
}

// ---- what a body says ----

struct person {
	const char *role, *email, *tenant, *enabled; // NULL: not said; "" of the middle two: none
};

static bool unsound(struct http_request *request, const char *detail)
{
	http_reply_problem(request, 422, detail);
	return false;
}

static bool is_email(const char *text)
{
	const char *at = strchr(text, '@');

	return *text == '\0' || (at && at > text && at[1] && strlen(text) <= 254 && !strpbrk(text, " \t\r\n<>,;") &&
				 !strchr(at + 1, '@'));
}

// A text, or null as "". False when it is neither.
static bool read_text(const struct json *value, const char **out)
{
	if (json_type(value) == JSON_NULL) {
		*out = "";
		return true;
	}
	return json_as_string(value, out);
}

// One member of a body; what is wrong with it, or NULL.
static const char *read_member(const char *name, const struct json *value, bool fresh, struct person *out)
{
	enum role role;
	bool enabled;

	if (strcmp(name, "role") == 0)
		return json_as_string(value, &out->role) && auth_role_parse(out->role, &role)
			       ? NULL
			       : "\"role\" must be viewer, operator, administrator or auditor.";
	if (strcmp(name, "email") == 0)
		return read_text(value, &out->email) && is_email(out->email)
			       ? NULL
			       : "\"email\" must be an address such as ann@example.org, or null.";
	if (strcmp(name, "tenant") == 0)
		return read_text(value, &out->tenant) ? NULL : "\"tenant\" must be the name of one, or null for all.";
	if (strcmp(name, "enabled") == 0 && !fresh) {
		if (!json_as_bool(value, &enabled))
			return "\"enabled\" must be true or false.";
		out->enabled = enabled ? "true" : "false";
		return NULL;
	}
	return strcmp(name, "name") == 0 && fresh ? NULL : "Known are role, email, tenant and, later, enabled.";
}

static bool read_person(struct http_request *request, const struct json *body, bool fresh, struct person *out)
{
	for (struct json_iterator it = json_begin(body); json_next(&it);) {
		const char *wrong = read_member(it.name, it.value, fresh, out);

		if (wrong)
			return unsound(request, wrong);
	}
	return true;
}

// ---- the link by which somebody gets in without a password ----

static bool insert_link(struct dashboard *dashboard, struct http_request *request, const char *name,
			char link[PEOPLE_LINK_MAX], bool *made)
{
	auto_pg_result struct pg_result *row = NULL;
	char token[TOKEN_TEXT_BYTES], hash[SHA256_HEX_BYTES];

	crypto_random_token(token);
	crypto_sha256_hex(token, strlen(token), hash);
	people_link(dashboard, request, "/login", token, link);
	crypto_wipe(token, sizeof(token));
	if (!PEOPLE_QUERY(dashboard, request, &row, LINK_SQL, name, hash, http_peer(request), auth_of(request)->user))
		return false;
	*made = pg_rows(row) > 0;
	return true;
}

static void reply_link(struct http_request *request, const char *name, char link[PEOPLE_LINK_MAX])
{
	struct json *answer = json_new_object();

	json_set_string(answer, "name", name);
	json_set_string(answer, "login_link", link);
	http_reply_json(request, 201, answer);
	crypto_wipe(link, PEOPLE_LINK_MAX);
}

void users_login_link(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = http_param(request, "name");
	char link[PEOPLE_LINK_MAX];
	bool made = false;

	if (!people_begin(dashboard, request) || !insert_link(dashboard, request, name, link, &made))
		return;
	if (!made)
		people_refuse(dashboard, request, 404, "There is no account of this name that is enabled.");
	else if (people_commit(dashboard, request, "user.login-link", name, "{}"))
		reply_link(request, name, link);
}

void users_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request), *detail = json_new_object();
	struct person person = {0};
	const char *name = "";
	char link[PEOPLE_LINK_MAX];
	bool made = false;

	if (!body || !read_person(request, body, true, &person))
		return;
	if (!json_member_string(body, "name", &name) || !query_is_name(name) || !person.role) {
		(void)unsound(request, "\"name\" must match [a-z0-9][a-z0-9._-]{0,62}, and \"role\" be there.");
		return;
	}
	json_set_string(detail, "role", person.role);
	json_set_string(detail, "tenant", person.tenant);
	if (people_begin(dashboard, request) &&
	    PEOPLE_QUERY(dashboard, request, NULL, CREATE_SQL, name, person.role, person.email, person.tenant) &&
	    insert_link(dashboard, request, name, link, &made) &&
	    people_commit(dashboard, request, "user.create", name, json_text(detail)))
		reply_link(request, name, link);
}

// ---- changes ----

void users_change(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = http_param(request, "name");
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *ended = NULL, *changed = NULL, *row = NULL;
	struct person person = {0};

	if (!body || !read_person(request, body, false, &person))
		return;
	if (!people_begin(dashboard, request) ||
	    !PEOPLE_QUERY(dashboard, request, &ended, SESSIONS_SQL, name, person.role, person.enabled, person.tenant) ||
	    !PEOPLE_QUERY(dashboard, request, &changed, CHANGE_SQL, name, person.role, person.enabled, person.tenant,
			  person.email) ||
	    !PEOPLE_QUERY(dashboard, request, &row, ONE_SQL, name))
		return;
	if (pg_rows(changed) == 0) {
		people_refuse(dashboard, request, 404, MISSING);
	} else if (people_commit(dashboard, request, "user.change", name, json_text(body))) {
		people_end_streams(dashboard, ended);
		api_reply_row(request, row, MISSING);
	}
}

void users_delete(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = http_param(request, "name");
	auto_pg_result struct pg_result *ended = NULL, *gone = NULL;

	if (!people_begin(dashboard, request) ||
	    !PEOPLE_QUERY(dashboard, request, &ended, SESSIONS_SQL, name, NULL, NULL, "") ||
	    !PEOPLE_QUERY(dashboard, request, &gone, DELETE_SQL, name))
		return;
	if (pg_rows(gone) == 0) {
		people_refuse(dashboard, request, 404, MISSING);
	} else if (people_commit(dashboard, request, "user.delete", name, "{}")) {
		people_end_streams(dashboard, ended);
		http_reply(request, 204, NULL, NULL, 0);
	}
}

void users_totp_reset(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = http_param(request, "name");
	auto_pg_result struct pg_result *row = NULL;

	if (!people_begin(dashboard, request) || !PEOPLE_QUERY(dashboard, request, &row, TOTP_SQL, name))
		return;
	if (pg_rows(row) == 0)
		people_refuse(dashboard, request, 404, "There is no such account, or it has no second factor.");
	else if (people_commit(dashboard, request, "totp.reset", name, "{}"))
		http_reply(request, 204, NULL, NULL, 0);
}
