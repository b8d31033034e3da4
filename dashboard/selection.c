#include "dashboard/selection.h"

#include "common/device_sql.h"
#include "common/query_pg.h"
#include "dashboard/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATEMENT_MAX_BYTES 131072

void selection_init(struct selection *selection)
{
	*selection = (struct selection){.count = 0};
	buf_init(&selection->sql, STATEMENT_MAX_BYTES);
}

void selection_done(struct selection *selection)
{
	buf_done(&selection->sql);
	query_done(&selection->query);
}

void selection_add(struct selection *selection, const char *sql)
{
	(void)buf_add_str(&selection->sql, sql); // whether it fitted is asked when it is run
}

void selection_param(struct selection *selection, const char *value, const char *cast)
{
	if (selection->count == SELECTION_PARAMS_MAX) {
		selection->sql.overflowed = true;
		return;
	}
	selection->params[selection->count++] = value;
	(void)buf_addf(&selection->sql, "$%zu::%s", selection->count, cast);
}

void selection_number(struct selection *selection, int64_t value, char text[SELECTION_NUMBER_BYTES])
{
	(void)snprintf(text, SELECTION_NUMBER_BYTES, "%" PRId64, value);
	selection_param(selection, text, "bigint");
}

bool selection_where(struct selection *selection, struct pg *pg, const char *query, const char *devices,
		     struct error *error)
{
	const struct query_options options = {selection->count + 1, query_pg_resolve, pg, true};

	if (!pg_ready(pg, error) || !query_compile(query, &options, &selection->query, error))
		return false;
	selection_add(selection, " where ");
	selection_add(selection, buf_str(&selection->query.sql));
	for (size_t i = 0; i < selection->query.count; i++)
		selection->params[selection->count++] = selection->query.params[i];
	if (*devices) {
		selection_add(selection, " and r.device = any (");
		selection_param(selection, devices, "text[]");
		selection_add(selection, ")");
	}
	return true;
}

bool selection_where_for(struct selection *selection, struct dashboard *dashboard, struct http_request *request,
			 const char *query, const char *devices)
{
	struct error error = {0};

	if (selection_where(selection, dashboard->pg, query, devices, &error))
		return true;
	targets_refuse(dashboard, request, &error);
	return false;
}

void selection_status(struct selection *selection, const char *status)
{
	if (!status)
		return;
	if (strcmp(status, "revoked") == 0) {
		selection_add(selection, " and not r.enabled");
		return;
	}
	selection_add(selection, " and " DEVICE_ROSTER_STATUS_SQL " = ");
	selection_param(selection, status, "text");
}

bool selection_check_status(struct http_request *request)
{
	static const char *const known[] = {"online", "stale", "offline", "never", "revoked"};
	const char *status = api_text(request, "status");

	for (size_t i = 0; status && i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(status, known[i]) == 0)
			return true;
	}
	if (!status)
		return true;
	http_reply_problem(request, 400, "\"status\" is one of online, stale, offline, never, revoked.");
	return false;
}

bool selection_where_asked(struct selection *selection, struct dashboard *dashboard, struct http_request *request,
			   bool any_status)
{
	const char *query = api_text(request, "query"), *words = api_text(request, "q");

	if (!selection_where_for(selection, dashboard, request, query ? query : "", ""))
		return false;
	if (words) {
		selection_add(selection, " and " DEVICE_ROSTER_FOUND_SQL);
		selection_param(selection, words, "text");
		selection_add(selection, DEVICE_ROSTER_FOUND_END_SQL);
	}
	if (!any_status)
		selection_status(selection, api_text(request, "status"));
	return true;
}

bool selection_run(struct selection *selection, struct dashboard *dashboard, struct http_request *request,
		   struct pg_result **rows)
{
	if (!selection->sql.overflowed)
		return api_query(dashboard, request, rows, buf_str(&selection->sql), selection->count,
				 selection->params);
	http_reply_problem(request, 422, "The query is too long; save parts of it as filters or use a group.");
	return false;
}
