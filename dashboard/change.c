#include "dashboard/change.h"

#include "dashboard/auth.h"

bool change_make(struct dashboard *dashboard, struct http_request *request, const struct change *change,
		 struct pg_result **out)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct error error = {0};
	bool ok = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
		  pg_query(dashboard->pg, &rows, &error, change->sql, change->count, change->params);

	if (ok && pg_rows(rows) == 0) {
		pg_rollback(dashboard->pg);
		http_reply_problem(request, 404, change->missing);
		return false;
	}
	ok = ok &&
	     api_audit(dashboard, request, auth_of(request)->user, change->action, change->target, change->detail,
		       &error) &&
	     pg_commit(dashboard->pg, &error);
	if (ok) {
		*out = steal(rows);
		return true;
	}
	pg_rollback(dashboard->pg);
	if (change->taken && pg_sqlstate_is(&error, "23505"))
		http_reply_problem(request, 409, change->taken);
	else
		api_reply_error(dashboard, request, &error);
	return false;
}
