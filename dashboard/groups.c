#include "dashboard/groups.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/targets.h"

#include <stdio.h>
#include <string.h>

#define DESCRIPTION_MAX 400
#define STATEMENT_MAX_BYTES 131072

#define GROUP                                                                                                          \
	"jsonb_build_object('name', g.name, 'tenant', g.tenant, 'description', g.description, 'query', g.query,"       \
	" 'created_by', "                                                                                              \
	"g.created_by,"                                                                                                \
	" 'created_at', g.created_at, 'changed_at', g.changed_at, 'listed', case when g.query is null then"            \
	" (select count(*) from device_group_member m where m.tenant = g.tenant and m.group_name = g.name) end)"

// Whoever sees all tenants says whose group is meant by "tenant" in the address; without it, of the tenant default.
#define OF_TENANT(param) "coalesce(" param ", current_tenant())"
// The cursor is "<name>/<tenant>".
static const char LIST_SQL[] =
	"select " GROUP ", g.name || '/' || g.tenant from device_group g where ($1::text is null or"
	" (g.name, g.tenant) > (split_part($1, '/', 1), split_part($1, '/', 2))) order by g.name, g.tenant"
	" limit $2::integer + 1";
static const char ONE_SQL[] = "select " GROUP ", g.tenant || '/' || g.name from device_group g where g.name = $1"
			      " and g.tenant = " OF_TENANT("$2");
static const char CREATE_SQL[] = "insert into device_group (name, description, query, created_by, tenant)"
				 " values ($1, $2, $3, $4, " OF_TENANT("$5") ") on conflict do nothing";
static const char DELETE_SQL[] = "delete from device_group g where name = $1 and tenant = " OF_TENANT("$2")
				 " returning " GROUP;
static const char LOCK_SQL[] = "select query is null, tenant from device_group where name = $1 and tenant = "
			       OF_TENANT("$2") " for update";
static const char COUNT_SQL[] = "select count(*) from device d left join device_state s on s.device = d.device where ";
// $1 name, $2 devices as a text[] literal, $3 who, $4 tenant. Devices that are unknown there are told, not made.
static const char ADD_SQL[] =
	"with named as (select distinct unnest($2::text[]) as device),"
	" added as (insert into device_group_member (tenant, group_name, device, added_by) select $4, $1, n.device, $3"
	" from named n join device d on d.device = n.device and d.tenant = $4 on conflict do nothing returning 1)"
	" select json_build_object('group', $1::text, 'changed', (select count(*) from added), 'unknown',"
	" coalesce((select json_agg(n.device) from named n where not exists (select from device d where d.device ="
	" n.device and d.tenant = $4)), '[]'))";
static const char REMOVE_SQL[] =
	"with gone as (delete from device_group_member where group_name = $1 and device = any ($2::text[]) and $3 <> ''"
	" and tenant = $4"
	" returning 1) select json_build_object('group', $1::text, 'changed', (select count(*) from gone),"
	" 'unknown', '[]'::json)";

static const char EDIT_SQL[] = "update device_group g set description = coalesce($2, description),"
			       " query = coalesce($3, query), changed_at = now() where name = $1 and ($3::text is null"
			       " or query is not null) and tenant = " OF_TENANT("$4") " returning " GROUP;
// Campaigns whose target names the group, newest first.
static const char USED_SQL[] =
	"select coalesce(json_agg(json_build_object('id', c.id, 'name', c.name, 'state', c.state) order by c.id desc),"
	" '[]') from (select id, name, state from campaign where query ~ ('group[:=](\"?[^ \"]*[,/])?\"?'"
	" || replace($1, '.', '\\.')"
	" || '(\"|,| |$)') order by id desc limit 20) c";

void groups_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!api_limit_text(request, &limit, limit_text))
		return;

	const char *const params[] = {api_text(request, "after"), limit_text};

	if (api_query(user, request, &rows, LIST_SQL, 2, params))
		api_reply_page(request, rows, limit);
}

// With the number of its devices.
void groups_get(struct http_request *request, void *user)
{
	const char *name = http_param(request, "name");
	auto_pg_result struct pg_result *row = NULL, *count = NULL, *used = NULL;
	auto_query struct query query = {0};
	auto_buf struct buf sql, term;
	const char *const params[] = {name, api_text(request, "tenant")};

	buf_init(&sql, STATEMENT_MAX_BYTES);
	buf_init(&term, 128);
	if (!api_query(user, request, &row, ONE_SQL, 2, params))
		return;
	if (pg_rows(row) == 0) {
		http_reply_problem(request, 404, "There is no group of this name; GET /api/v1/groups lists them.");
		return;
	}
	(void)buf_addf(&term, "group:%s", pg_text(row, 0, 1));
	if (!targets_compile(user, request, buf_str(&term), 1, &query))
		return;
	(void)buf_addf(&sql, "%s%s", COUNT_SQL, buf_str(&query.sql));
	if (!api_query(user, request, &count, buf_str(&sql), query.count, (const char *const *)query.params))
		return;
	buf_clear(&sql);
	if (!api_query(user, request, &used, USED_SQL, 1, params))
		return;
	(void)buf_addf(&sql, "%.*s,\"devices\":%s,\"campaigns\":%s}", (int)strlen(pg_text(row, 0, 0)) - 1,
		       pg_text(row, 0, 0), pg_text(count, 0, 0), pg_text(used, 0, 0));
	api_reply_text(request, 200, buf_str(&sql));
}

static bool create(struct dashboard *dashboard, struct http_request *request, const char *name,
		   const char *description, const char *query, bool *made, struct error *error)
{
	auto_pg_result struct pg_result *result = NULL;
	auto_json struct json *detail = json_new_object();
	const char *actor = auth_of(request)->user;

	json_set_string(detail, "query", query);
	if (!pg_begin(dashboard->pg, error) ||
	    !PG_QUERY(dashboard->pg, &result, error, CREATE_SQL, name, description, query, actor,
		      api_text(request, "tenant")))
		return false;
	*made = pg_affected(result) > 0;
	return (!*made || api_audit(dashboard, request, actor, "group.create", name, json_text(detail), error)) &&
	       pg_commit(dashboard->pg, error);
}

void groups_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_query struct query compiled = {0};
	const char *name = "", *description = "", *query = NULL;
	struct error error = {0};
	bool made = false;

	if (!body)
		return;
	if (!json_member_string(body, "name", &name) || !query_is_name(name)) {
		http_reply_problem(request, 422, "\"name\" must match [a-z0-9][a-z0-9._-]{0,62}.");
		return;
	}
	if ((json_member(body, "description") && !json_member_string(body, "description", &description)) ||
	    strlen(description) > DESCRIPTION_MAX ||
	    (json_member(body, "query") && !json_member_string(body, "query", &query))) {
		http_reply_problem(request, 422,
				   "\"description\" (up to 400 bytes) and \"query\" must be texts; without "
				   "\"query\" the group's members are listed.");
		return;
	}
	if (!targets_compile(dashboard, request, query ? query : "", 1, &compiled))
		return;
	if (!create(dashboard, request, name, description, query, &made, &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		return;
	}
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {name, api_text(request, "tenant")};

	if (!made)
		http_reply_problem(request, 409,
				   "There is a group of this name already; delete it first, or take another.");
	else if (api_query(dashboard, request, &row, ONE_SQL, 2, params))
		api_reply_text(request, 201, pg_text(row, 0, 0));
}

static bool edit(struct dashboard *dashboard, struct http_request *request, const char *description,
		 const char *query, struct pg_result **row, struct error *error)
{
	const char *name = http_param(request, "name");

	return pg_ready(dashboard->pg, error) && pg_begin(dashboard->pg, error) &&
	       PG_QUERY(dashboard->pg, row, error, EDIT_SQL, name, description, query,
			api_text(request, "tenant")) &&
	       (pg_rows(*row) == 0 || api_audit(dashboard, request, auth_of(request)->user, "group.change", name,
						pg_text(*row, 0, 0), error)) &&
	       pg_commit(dashboard->pg, error);
}

// {"description":..,"query":..}, either or both. A group of listed devices does not become one by query, nor back.
void groups_edit(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_query struct query compiled = {0};
	auto_pg_result struct pg_result *row = NULL;
	const char *description = NULL, *query = NULL;
	struct error error = {0};

	if (!body)
		return;
	if ((json_member(body, "description") && !json_member_string(body, "description", &description)) ||
	    (description && strlen(description) > DESCRIPTION_MAX) ||
	    (json_member(body, "query") && !json_member_string(body, "query", &query)) || (!description && !query)) {
		http_reply_problem(request, 422,
				   "\"description\" (up to 400 bytes), \"query\" or both are needed: texts.");
		return;
	}
	if (query && !targets_compile(dashboard, request, query, 1, &compiled))
		return;
	if (edit(dashboard, request, description, query, &row, &error)) {
		api_reply_row(request, row,
			      "There is no group of this name, or its members are listed: then it has no query.");
		return;
	}
	pg_rollback(dashboard->pg);
	api_reply_error(dashboard, request, &error);
}

enum outcome { CHANGED, NO_GROUP, BY_QUERY, STATEMENT_FAILED };

static enum outcome change(struct dashboard *dashboard, struct http_request *request, bool add, const char *devices,
			   struct pg_result **answer, struct error *error)
{
	auto_pg_result struct pg_result *group = NULL;
	auto_json struct json *detail = json_new_object();
	const char *name = http_param(request, "name"), *actor = auth_of(request)->user;

	if (!PG_QUERY(dashboard->pg, &group, error, LOCK_SQL, name, api_text(request, "tenant")))
		return STATEMENT_FAILED;
	if (pg_rows(group) == 0)
		return NO_GROUP;
	if (!pg_bool(group, 0, 0))
		return BY_QUERY;
	json_set_string(detail, "devices", devices);
	return PG_QUERY(dashboard->pg, answer, error, add ? ADD_SQL : REMOVE_SQL, name, devices, actor,
			pg_text(group, 0, 1)) &&
			       api_audit(dashboard, request, actor, add ? "group.add" : "group.remove", name,
					 json_text(detail), error) &&
			       pg_commit(dashboard->pg, error)
		       ? CHANGED
		       : STATEMENT_FAILED;
}

// {"add":[..]} or {"remove":[..]}
void groups_change(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_json struct json *wrapped = json_new_object();
	auto_json struct json *target = json_new_object();
	auto_pg_result struct pg_result *answer = NULL;
	struct targets targets cleanup(targets_done) = {.query = {0}};
	struct error error = {0};

	if (!body)
		return;
	const struct json *add = json_member(body, "add"), *remove = json_member(body, "remove");

	targets_init(&targets);
	if (!add == !remove) {
		http_reply_problem(request, 422, "Either \"add\" or \"remove\" is needed: an array of device ids.");
		return;
	}
	json_set(target, "devices", json_copy(add ? add : remove));
	json_set(wrapped, "target", steal(target));
	if (!targets_read(wrapped, &targets, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	enum outcome outcome = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error)
				       ? change(dashboard, request, add, buf_str(&targets.devices), &answer, &error)
				       : STATEMENT_FAILED;

	if (outcome != CHANGED)
		pg_rollback(dashboard->pg);
	if (outcome == CHANGED)
		api_reply_text(request, 200, pg_text(answer, 0, 0));
	else if (outcome == NO_GROUP)
		http_reply_problem(request, 404, "There is no group of this name; GET /api/v1/groups lists them.");
	else if (outcome == BY_QUERY)
		http_reply_problem(request, 409,
				   "This group has the devices that match its query; none can be added or removed.");
	else
		api_reply_error(dashboard, request, &error);
}

void groups_delete(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_pg_result struct pg_result *row = NULL;
	const char *name = http_param(request, "name");
	struct error error = {0};

	if (pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
	    PG_QUERY(dashboard->pg, &row, &error, DELETE_SQL, name, api_text(request, "tenant")) &&
	    (pg_rows(row) == 0 ||
	     api_audit(dashboard, request, auth_of(request)->user, "group.delete", name, pg_text(row, 0, 0), &error)) &&
	    pg_commit(dashboard->pg, &error)) {
		api_reply_row(request, row, "There is no group of this name; GET /api/v1/groups lists them.");
		return;
	}
	pg_rollback(dashboard->pg);
	if (pg_sqlstate_is(&error, "23503"))
		http_reply_problem(request, 409,
				   "People have rights in this group; take these away first, and see what they may do "
				   "then.");
	else
		api_reply_error(dashboard, request, &error);
}
