#include "dashboard/rights.h"

#include "common/query.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <string.h>


static const char LIST_SQL[] =
	"select json_build_object('user', u.name, 'tenant', u.tenant, 'role', u.role, 'rights', coalesce((select"
	" json_agg(json_build_object('group', r.group_name, 'role', r.role, 'given_by', r.given_by,"
	" 'given_at', r.given_at) order by r.group_name) from user_right r where r.user_name = u.name), '[]'))"
	" from user_account u where u.name = $1";
static const char TENANT_SQL[] = "select tenant from user_account where name = $1";
static const char CLEAR_SQL[] = "delete from user_right where user_name = $1";
// $3 a JSON array of {"group","role"}. A group that is not seen is not there.
static const char ADD_SQL[] =
	"insert into user_right (user_name, tenant, group_name, role, given_by) select $1, g.tenant, g.name, x.role, $4"
	" from json_to_recordset($3) x (\"group\" text, role text)"
	" join device_group g on g.tenant = $2 and g.name = x.group on conflict do nothing";
static const char MISSING[] = "There is no user of this name; GET /api/v1/users lists them.";

void rights_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {http_param(request, "name")};

	if (api_query_again(user, request, &row, LIST_SQL, 1, params))
		api_reply_row(request, row, MISSING);
}

static bool is_role(const char *role)
{
	return strcmp(role, "viewer") == 0 || strcmp(role, "operator") == 0 || strcmp(role, "administrator") == 0;
}

static bool check(const struct json *rights, size_t count, struct error *error)
{
	if (!rights || json_type(rights) != JSON_ARRAY || count > RIGHTS_MAX)
		return error_set(error, ERROR_INVALID,
				 "\"rights\" is needed: an array of at most %d {\"group\":..,\"role\":..}; [] lets the "
				 "account's role hold for the whole tenant.",
				 RIGHTS_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct json *right = json_array_at(rights, i);
		const char *group = "", *role = "";

		if (json_type(right) != JSON_OBJECT || !json_member_string(right, "group", &group) ||
		    !query_is_name(group) || !json_member_string(right, "role", &role) || !is_role(role))
			return error_set(error, ERROR_INVALID,
					 "Each right has a \"group\" and a \"role\", one of viewer, operator and "
					 "administrator.");
	}
	return true;
}

enum outcome { DONE, NO_USER, NO_TENANT, NO_GROUP, STATEMENT_FAILED };

static enum outcome put(struct dashboard *dashboard, struct http_request *request, const char *rights, size_t count,
			struct error *error)
{
	auto_pg_result struct pg_result *person = NULL, *added = NULL;
	auto_buf struct buf detail;
	const char *name = http_param(request, "name"), *actor = auth_of(request)->user;

	buf_init(&detail, strlen(rights) + 16);
	(void)buf_addf(&detail, "{\"rights\":%s}", rights);
	if (!PG_QUERY(dashboard->pg, &person, error, TENANT_SQL, name))
		return STATEMENT_FAILED;
	if (pg_rows(person) == 0)
		return NO_USER;
	if (!pg_text(person, 0, 0) && count > 0)
		return NO_TENANT;
	if (!PG_QUERY(dashboard->pg, NULL, error, CLEAR_SQL, name) ||
	    !PG_QUERY(dashboard->pg, &added, error, ADD_SQL, name, pg_text(person, 0, 0), rights, actor))
		return STATEMENT_FAILED;
	if (pg_affected(added) != count)
		return NO_GROUP;
	return api_audit(dashboard, request, actor, "user.rights", name, buf_str(&detail), error) &&
			       pg_commit(dashboard->pg, error)
		       ? DONE
		       : STATEMENT_FAILED;
}

static void reply(struct dashboard *dashboard, struct http_request *request, enum outcome outcome,
		  const struct error *error)
{
	switch (outcome) {
	case DONE:
		rights_get(request, dashboard);
		return;
	case NO_USER:
		http_reply_problem(request, 404, MISSING);
		return;
	case NO_TENANT:
		http_reply_problem(request, 409,
				   "This user is of all tenants; give it a tenant, whose groups can then be named.");
		return;
	case NO_GROUP:
		http_reply_problem(request, 422, "A group is named twice, or is not one of the user's tenant; "
						 "GET /api/v1/groups lists them.");
		return;
	case STATEMENT_FAILED:
		if (pg_sqlstate_is(error, "23514"))
			http_reply_problem(request, 422,
					   "Rights are given in groups whose devices are listed: what matches a query "
					   "changes by itself.");
		else
			api_reply_error(dashboard, request, error);
		return;
	}
}

void rights_put(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_json struct json *copy = NULL;
	struct error error = {0};

	if (!body)
		return;
	const struct json *rights = json_member(body, "rights");
	size_t count = rights && json_type(rights) == JSON_ARRAY ? json_array_length(rights) : 0;

	if (!check(rights, count, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	copy = json_copy(rights);

	enum outcome outcome = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error)
				       ? put(dashboard, request, json_text(copy), count, &error)
				       : STATEMENT_FAILED;

	if (outcome != DONE)
		pg_rollback(dashboard->pg);
	reply(dashboard, request, outcome, &error);
}
