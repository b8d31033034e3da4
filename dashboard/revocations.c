#include "dashboard/revocations.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"

#include "common/json.h"

#include <stdio.h>
#include <string.h>

#define REASON_MAX 200

// $1 "all" for restored names and single certificates too, $2 change of the last one seen, $3 limit. Newest first.
static const char LIST_SQL[] =
	"select " REVOCATIONS_JSON_SQL ", r.change::text from revocation r"
	" where ($1::text is not null or (r.kind = 'device' and r.revoked)) and ($2::bigint is null or r.change < $2)"
	" order by r.change desc limit $3::integer + 1";
static const char PROOFS_SQL[] =
	"select json_build_object('cell', cell, 'serial', serial, 'cause', cause, 'requested_at', requested_at,"
	" 'cut_s', cut_s, 'refused', refused, 'admitted', admitted, 'ok', ok)"
	" from (select distinct on (cell) * from revocation_proof order by cell, requested_at desc) p"
	" order by cell limit $1::integer";
static const char REVOKE_SQL[] = "select revoke_device($1, $2, $3, $4)";
static const char RESTORE_SQL[] = "select restore_device($1, $2, $3, $4)";
static const char ONE_SQL[] =
	"select " REVOCATIONS_JSON_SQL " from revocation r where r.kind = 'device' and r.name = $1";

void revocations_list(struct http_request *request, void *user)
{
	const char *after = api_text(request, "after");
	char limit_text[API_LIMIT_BYTES];
	int64_t limit = 0;

	if (!api_numbered_page(request, after, &limit, limit_text))
		return;

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_text(request, "all"), after, limit_text};

	if (api_query(user, request, &rows, LIST_SQL, 3, params))
		api_reply_page(request, rows, limit);
}

void revocations_proofs(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	char limit[24];
	const char *const params[] = {limit};

	(void)snprintf(limit, sizeof(limit), "%d", API_LIMIT_MAX);
	if (api_query(user, request, &rows, PROOFS_SQL, 1, params))
		api_reply_page(request, rows, API_LIMIT_MAX);
}

enum outcome { DONE, NOTHING_TO_DO, NO_DEVICE, STATEMENT_FAILED };

static enum outcome change(struct dashboard *dashboard, struct http_request *request, bool revoked, const char *reason,
			   struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_json struct json *detail = json_new_object();
	const char *actor = auth_of(request)->user;
	const char *device = http_param(request, "id");

	if (!PG_QUERY(dashboard->pg, &rows, error, revoked ? REVOKE_SQL : RESTORE_SQL, device, reason, actor,
		      http_request_id(request)))
		return STATEMENT_FAILED;
	if (!pg_text(rows, 0, 0))
		return NO_DEVICE;
	if (!pg_bool(rows, 0, 0))
		return NOTHING_TO_DO;
	json_set_string(detail, "reason", reason);
	return api_audit(dashboard, request, actor, revoked ? "device.revoke" : "device.restore", device,
			 json_text(detail), error) ?
		       DONE :
		       STATEMENT_FAILED;
}

static enum outcome transact(struct dashboard *dashboard, struct http_request *request, bool revoked,
			     const char *reason, struct error *error)
{
	enum outcome outcome;

	if (!pg_ready(dashboard->pg, error) || !pg_begin(dashboard->pg, error))
		return STATEMENT_FAILED;
	outcome = change(dashboard, request, revoked, reason, error);
	if (outcome != DONE)
		pg_rollback(dashboard->pg);
	else if (!pg_commit(dashboard->pg, error))
		return STATEMENT_FAILED;
	return outcome;
}

static void answer(struct dashboard *dashboard, struct http_request *request, bool revoked)
{
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *rows = NULL;
	const char *device = http_param(request, "id");
	const char *reason = "";
	struct error error = {0};
	const char *const params[] = {device};

	if (!body)
		return;
	if ((json_member(body, "reason") && !json_member_string(body, "reason", &reason)) ||
	    strlen(reason) > REASON_MAX) {
		http_reply_problem(request, 422, "\"reason\" must be a string of up to 200 bytes.");
		return;
	}
	switch (transact(dashboard, request, revoked, reason, &error)) {
	case NO_DEVICE:
		http_reply_problem(request, 404, "There is no device with this id; GET /api/v1/devices lists them.");
		return;
	case STATEMENT_FAILED:
		api_reply_error(dashboard, request, &error);
		return;
	case DONE:
		log_info(revoked ? "device.revoke" : "device.restore", "request_id", http_request_id(request), "device",
			 device, "user", auth_of(request)->user);
		break;
	case NOTHING_TO_DO:
		break;
	}
	// 200 also when it was so already: what is asked for holds.
	if (api_query(dashboard, request, &rows, ONE_SQL, 1, params))
		api_reply_row(request, rows, "This device was never revoked.");
}

void revocations_revoke(struct http_request *request, void *user)
{
	answer(user, request, true);
}

void revocations_restore(struct http_request *request, void *user)
{
	answer(user, request, false);
}
