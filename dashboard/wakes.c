#include "dashboard/wakes.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"

static const char WAKE_SQL[] = "select request_wake($1, $2)";
static const char SHOW_SQL[] = "select " WAKES_OF_DEVICE_SQL " from device d where d.device = $1";

enum outcome { ASKED, NOT_REACHABLE, NO_DEVICE, STATEMENT_FAILED };

static enum outcome ask(struct dashboard *dashboard, struct http_request *request, struct error *error)
{
	const char *device = http_param(request, "id");
	auto_pg_result struct pg_result *rows = NULL;

	if (!PG_QUERY(dashboard->pg, &rows, error, WAKE_SQL, device, http_request_id(request)))
		return STATEMENT_FAILED;
	if (!pg_text(rows, 0, 0))
		return NO_DEVICE;
	if (!pg_bool(rows, 0, 0))
		return NOT_REACHABLE;
	return api_audit(dashboard, request, auth_of(request)->user, "device.wake", device, "{}", error)
		       ? ASKED
		       : STATEMENT_FAILED;
}

static enum outcome transact(struct dashboard *dashboard, struct http_request *request, struct error *error)
{
	if (!pg_ready(dashboard->pg, error) || !pg_begin(dashboard->pg, error))
		return STATEMENT_FAILED;
	enum outcome outcome = ask(dashboard, request, error);

	if (outcome != ASKED)
		pg_rollback(dashboard->pg);
	else if (!pg_commit(dashboard->pg, error))
		return STATEMENT_FAILED;
	return outcome;
}

void wakes_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_pg_result struct pg_result *rows = NULL;
	struct error error = {0};
	const char *const params[] = {http_param(request, "id")};

	switch (transact(dashboard, request, &error)) {
	case NO_DEVICE:
		http_reply_problem(request, 404, "There is no device with this id; GET /api/v1/devices lists them.");
		return;
	case NOT_REACHABLE:
		http_reply_problem(request, 409,
				   "No push reaches this device: it has reported no push token, or nobody has it "
				   "any more. It connects by itself at its next heartbeat.");
		return;
	case STATEMENT_FAILED:
		api_reply_error(dashboard, request, &error);
		return;
	case ASKED:
		break;
	}
	log_info("device.wake", "request_id", http_request_id(request), "device", params[0], "user",
		 auth_of(request)->user);
	if (api_query(dashboard, request, &rows, SHOW_SQL, 1, params))
		api_reply_text(request, 202, pg_text(rows, 0, 0));
}
