#include "dashboard/filters.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/targets.h"

#include <stdio.h>
#include <string.h>

#define FILTER \
	"json_build_object('name', f.name, 'tenant', f.tenant, 'query', f.query, 'created_by', f.created_by," \
	" 'created_at', f.created_at," \
	" 'changed_at', f.changed_at)"

// Whoever sees all tenants says whose filter is meant by "tenant" in the address; without it, of the tenant default.
#define OF_TENANT(param) "coalesce(" param ", current_tenant())"
// The cursor is "<name>/<tenant>".
static const char LIST_SQL[] =
	"select " FILTER ", f.name || '/' || f.tenant from saved_filter f where ($1::text is null or"
	" (f.name, f.tenant) > (split_part($1, '/', 1), split_part($1, '/', 2))) order by f.name, f.tenant"
	" limit $2::integer + 1";
static const char SAVE_SQL[] =
	"insert into saved_filter as f (name, query, created_by, tenant) values ($1, $2, $3, " OF_TENANT("$4") ")"
	" on conflict (tenant, name)"
	" do update set query = excluded.query, changed_at = now() returning " FILTER;
static const char DELETE_SQL[] = "delete from saved_filter f where name = $1 and tenant = " OF_TENANT(
	"$2") " returning " FILTER;

void filters_list(struct http_request *request, void *user)
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

static bool save(struct dashboard *dashboard, struct http_request *request, const char *name, const char *query,
		 struct pg_result **row, struct error *error)
{
	const char *actor = auth_of(request)->user;
	auto_json struct json *detail = json_new_object();

	json_set_string(detail, "query", query);
	return pg_begin(dashboard->pg, error) &&
	       PG_QUERY(dashboard->pg, row, error, SAVE_SQL, name, query, actor, api_text(request, "tenant")) &&
	       api_audit(dashboard, request, actor, "filter.save", name, json_text(detail), error) &&
	       pg_commit(dashboard->pg, error);
}

void filters_save(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *row = NULL;
	auto_query struct query query = {0};
	const char *name = "", *text = NULL;
	struct error error = {0};

	if (!body)
		return;
	if (!json_member_string(body, "name", &name) || !query_is_name(name)) {
		http_reply_problem(request, 422, "\"name\" must match [a-z0-9][a-z0-9._-]{0,62}.");
		return;
	}
	if (!json_member_string(body, "query", &text)) {
		http_reply_problem(request, 422,
				   "\"query\" is needed: which devices, such as \"status:offline tag:kiosk\".");
		return;
	}
	if (!targets_compile(dashboard, request, text, 1, &query))
		return;
	if (save(dashboard, request, name, text, &row, &error)) {
		api_reply_text(request, 200, pg_text(row, 0, 0));
		return;
	}
	pg_rollback(dashboard->pg);
	api_reply_error(dashboard, request, &error);
}

void filters_delete(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_pg_result struct pg_result *row = NULL;
	const char *name = http_param(request, "name");
	struct error error = {0};

	if (pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
	    PG_QUERY(dashboard->pg, &row, &error, DELETE_SQL, name, api_text(request, "tenant")) &&
	    (pg_rows(row) == 0 || api_audit(dashboard, request, auth_of(request)->user, "filter.delete", name,
					    pg_text(row, 0, 0), &error)) &&
	    pg_commit(dashboard->pg, &error)) {
		api_reply_row(request, row, "There is no filter of this name; GET /api/v1/filters lists them.");
		return;
	}
	pg_rollback(dashboard->pg);
	api_reply_error(dashboard, request, &error);
}
