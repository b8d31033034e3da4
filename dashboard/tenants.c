#include "dashboard/tenants.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <string.h>

#define DESCRIPTION_MAX 400
#define NAME_MAX_LENGTH 63

#define TENANT "jsonb_build_object('name', t.name, 'description', t.description, 'created_at', t.created_at)"

// $1 the last name seen, $2 limit.
static const char LIST_SQL[] =
	"select " TENANT " || jsonb_build_object('devices', (select count(*) from device d where d.tenant = t.name)),"
	" t.name from tenant t where ($1::text is null or t.name > $1) order by t.name limit $2::integer + 1";
static const char CREATE_SQL[] = "insert into tenant as t (name, description) values ($1, $2) on conflict do nothing"
				 " returning " TENANT;
static const char CHANGE_SQL[] = "update tenant t set description = $2 where t.name = $1 returning " TENANT;
static const char EXISTS_SQL[] = "select from tenant where name = $1";
static const char MOVE_SQL[] = "select move_device($1, $2)";
static const char MISSING[] = "There is no tenant of this name; GET /api/v1/tenants lists them.";

void tenants_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!api_limit_text(request, &limit, limit_text))
		return;

	const char *const params[] = {api_text(request, "after"), limit_text};

	if (api_query_again(user, request, &rows, LIST_SQL, 2, params))
		api_reply_page(request, rows, limit);
}

static bool is_name(const char *text)
{
	size_t length = strlen(text);

	return length >= 1 && length <= NAME_MAX_LENGTH && text[0] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static bool read_description(const struct json *body, const char **out)
{
	*out = "";
	return !json_member(body, "description") ||
	       (json_member_string(body, "description", out) && strlen(*out) <= DESCRIPTION_MAX);
}

// One row of a statement on the tenant called name, with its audit; *row is empty when there was none.
static bool store(struct dashboard *dashboard, struct http_request *request, const char *sql, const char *action,
		  const char *name, const char *description, struct pg_result **row)
{
	auto_json struct json *detail = json_new_object();
	struct error error = {0};

	json_set_string(detail, "description", description);
	if (pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
	    PG_QUERY(dashboard->pg, row, &error, sql, name, description) &&
	    (pg_rows(*row) == 0 ||
	     api_audit(dashboard, request, auth_of(request)->user, action, name, json_text(detail), &error)) &&
	    pg_commit(dashboard->pg, &error))
		return true;
	pg_rollback(dashboard->pg);
	api_reply_error(dashboard, request, &error);
	return false;
}

void tenants_create(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *row = NULL;
	const char *name = "", *description = "";

	if (!body)
		return;
	if (!json_member_string(body, "name", &name) || !is_name(name))
		http_reply_problem(request, 422, "\"name\" must match [a-z0-9][a-z0-9-]{0,62}.");
	else if (!read_description(body, &description))
		http_reply_problem(request, 422, "\"description\" must be a text of up to 400 bytes.");
	else if (!store(user, request, CREATE_SQL, "tenant.create", name, description, &row))
		return;
	else if (pg_rows(row) == 0)
		http_reply_problem(request, 409, "There is a tenant of this name already; take another.");
	else
		api_reply_text(request, 201, pg_text(row, 0, 0));
}

void tenants_change(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *row = NULL;
	const char *description = "";

	if (!body)
		return;
	if (!json_member(body, "description") || !read_description(body, &description))
		http_reply_problem(request, 422, "\"description\" is needed: a text of up to 400 bytes.");
	else if (store(user, request, CHANGE_SQL, "tenant.change", http_param(request, "name"), description, &row))
		api_reply_row(request, row, MISSING);
}

enum outcome { MOVED, NO_DEVICE, STATEMENT_FAILED };

static enum outcome move(struct dashboard *dashboard, struct http_request *request, const char *tenant,
			 struct error *error)
{
	auto_pg_result struct pg_result *was = NULL;
	auto_json struct json *detail = json_new_object();
	const char *device = http_param(request, "id");

	if (!PG_QUERY(dashboard->pg, &was, error, MOVE_SQL, device, tenant))
		return STATEMENT_FAILED;
	if (!pg_text(was, 0, 0))
		return NO_DEVICE;
	json_set_string(detail, "from", pg_text(was, 0, 0));
	json_set_string(detail, "to", tenant);
	return api_audit(dashboard, request, auth_of(request)->user, "device.move", device, json_text(detail), error) &&
			       pg_commit(dashboard->pg, error)
		       ? MOVED
		       : STATEMENT_FAILED;
}

void tenants_move(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *found = NULL;
	auto_json struct json *answer = json_new_object();
	const char *tenant = "";
	struct error error = {0};

	if (!body)
		return;
	if (!json_member_string(body, "tenant", &tenant)) {
		http_reply_problem(request, 422,
				   "\"tenant\" is needed: the name of the tenant that the device goes to.");
		return;
	}
	if (!api_query_again(dashboard, request, &found, EXISTS_SQL, 1, &tenant))
		return;
	if (pg_rows(found) == 0) {
		http_reply_problem(request, 422, MISSING);
		return;
	}
	enum outcome outcome = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error)
				       ? move(dashboard, request, tenant, &error)
				       : STATEMENT_FAILED;

	if (outcome != MOVED)
		pg_rollback(dashboard->pg);
	if (outcome == STATEMENT_FAILED) {
		api_reply_error(dashboard, request, &error);
	} else if (outcome == NO_DEVICE) {
		http_reply_problem(request, 404,
				   "There is no device with this id; GET /api/v1/devices lists them all.");
	} else {
		json_set_string(answer, "device", http_param(request, "id"));
		json_set_string(answer, "tenant", tenant);
		http_reply_json(request, 200, steal(answer));
	}
}
