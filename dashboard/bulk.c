#include "dashboard/bulk.h"

#include "common/device_sql.h"
#include "common/limits.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/bulk_job.h"
#include "dashboard/change.h"
#include "dashboard/selection.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AT_ONCE_MS 150 // a smaller job is done when it is answered

#define JOB                                                                                                            \
	"json_build_object('id', j.id, 'verb', j.verb, 'params', j.params, 'query', case when j.devices is null then"  \
	" j.query end, 'listed', cardinality(j.devices), 'total', j.total, 'done', j.done, 'changed', j.changed,"      \
	" 'state', j.state, 'reason', j.reason, 'created_by', j.created_by, 'created_at', j.created_at,"               \
	" 'finished_at', j.finished_at)"

static const char LIST_SQL[] = "select " JOB ", j.id from device_bulk j where ($1::bigint is null or j.id < $1)"
			       " order by j.id desc limit $2::integer + 1";
static const char GET_SQL[] = "select " JOB ", j.state = 'running' from device_bulk j where j.id = $1::bigint";
static const char CANCEL_SQL[] =
	"update device_bulk j set state = 'cancelled', reason = 'by ' || $2, finished_at = now(), changed_at = now()"
	" where j.id = $1::bigint and j.state = 'running'";
static const char CREATE_SQL[] =
	"insert into device_bulk (verb, params, query, devices, total, created_by, idempotency_key, request_id, peer)"
	" values ($1, $2::jsonb, $3, $4::text[], $5::bigint, $6, $7, $8, $9)"
	" on conflict (created_by, idempotency_key) where idempotency_key is not null do nothing returning id";
static const char EARLIER_SQL[] =
	"select id, verb = $3 and params = $4::jsonb and query = $5 and devices is not distinct from $6::text[]"
	" from device_bulk where created_by = $1 and idempotency_key = $2";
static const char GROUP_SQL[] = "select query is null from device_group where name = $1";
static const char COUNT_SQL[] =
	"select count(*), count(*) filter (where status in ('online', 'stale')), count(*) filter (where status = "
	"'offline'),"
	" count(*) filter (where status = 'never'), count(*) filter (where not enabled),"
	" coalesce(to_json((array_agg(device order by device))[1:10]), '[]'::json) from (select r.device, "
	"r.enabled, " DEVICE_ROSTER_STATUS_SQL " as status from device_roster r";
enum { ALL, ONLINE, OFFLINE, NEVER, REVOKED, SAMPLE };

static const char missing[] = "There is no job with this number; GET /api/v1/bulk lists them.";

// ---- what is asked for ----

struct demand {
	const struct bulk_verb *verb;
	struct json *params; // owned
	struct targets targets;
	int64_t expect; // -1: not said
};

static void demand_done(struct demand *demand)
{
	json_free(demand->params);
	targets_done(&demand->targets);
}

static bool read_demand(const struct json *body, struct demand *demand, struct error *error)
{
	static const char *const members[] = {"verb", "params", "target", "expect"};
	const char *verb = "";

	for (struct json_iterator it = json_begin(body); json_next(&it);) {
		bool known = false;

		for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			known = known || strcmp(members[i], it.name) == 0;
		if (!known)
			return error_set(error, ERROR_INVALID,
					 "There is no member \"%.64s\"; there are verb, params, target and expect.",
					 it.name);
	}
	demand->verb = json_member_string(body, "verb", &verb) ? bulk_verb_find(verb) : NULL;
	if (!demand->verb)
		return error_set(error, ERROR_INVALID,
				 "\"verb\" is one of tag, add-to-group, remove-from-group, revoke and"
				 " restore; commands are given by campaigns.");
	if (json_member(body, "expect") && (!json_member_int(body, "expect", &demand->expect) || demand->expect < 0))
		return error_set(error, ERROR_INVALID, "\"expect\" is the number of devices that a preview has shown.");
	return bulk_verb_params(demand->verb, json_member(body, "params"), &demand->params, error) &&
	       targets_read(body, &demand->targets, error);
}

// Takes the body and checks what needs no database. False: the request is answered.
static bool take_demand(struct http_request *request, struct demand *demand)
{
	auto_json struct json *body = http_body_json(request);
	struct error error = {0};

	targets_init(&demand->targets);
	demand->expect = -1;
	if (!body)
		return false;
	if (!read_demand(body, demand, &error)) {
		http_reply_problem(request, 422, error.what);
		return false;
	}
	if (demand->verb->roles & (int)auth_of(request)->role)
		return true;
	http_reply_problem(request, 403, "Only an administrator may restore devices; ask one.");
	return false;
}

static bool check_group(struct dashboard *dashboard, struct http_request *request, const struct demand *demand)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *name = "";
	const char *params[1];

	if (!demand->verb->group)
		return true;
	(void)json_member_string(demand->params, "group", &name);
	params[0] = name;
	if (!api_query(dashboard, request, &row, GROUP_SQL, 1, params))
		return false;
	if (pg_rows(row) == 1 && pg_bool(row, 0, 0))
		return true;
	if (pg_rows(row) == 0)
		http_reply_problem(request, 422, "There is no group of this name; GET /api/v1/groups lists them.");
	else
		http_reply_problem(request, 409,
				   "This group has the devices that match its query; none can be added or removed.");
	return false;
}

static bool count_devices(struct dashboard *dashboard, struct http_request *request, const struct demand *demand,
			  struct pg_result **counts)
{
	auto_selection struct selection selection;

	selection_init(&selection);
	selection_add(&selection, COUNT_SQL);
	if (!selection_where_for(&selection, dashboard, request, buf_str(&demand->targets.query),
				 buf_str(&demand->targets.devices)))
		return false;
	selection_add(&selection, ") x");
	return selection_run(&selection, dashboard, request, counts);
}

void bulk_preview(struct http_request *request, void *user)
{
	struct demand demand cleanup(demand_done) = {.verb = NULL};
	auto_pg_result struct pg_result *counts = NULL;
	auto_buf struct buf answer;

	buf_init(&answer, 4096);
	if (!take_demand(request, &demand) || !check_group(user, request, &demand) ||
	    !count_devices(user, request, &demand, &counts))
		return;
	(void)buf_addf(&answer,
		       "{\"verb\":\"%s\",\"devices\":%s,\"online\":%s,\"offline\":%s,\"never\":%s,\"revoked\":%s,"
		       "\"takes_s\":%.1f,\"sample\":%s}",
		       demand.verb->name, pg_text(counts, 0, ALL), pg_text(counts, 0, ONLINE),
		       pg_text(counts, 0, OFFLINE), pg_text(counts, 0, NEVER), pg_text(counts, 0, REVOKED),
		       (double)pg_int(counts, 0, ALL) * demand.verb->device_ms / 1000, pg_text(counts, 0, SAMPLE));
	api_reply_text(request, 200, buf_str(&answer));
}

// ---- doing it ----

enum outcome { CREATED, REPEATED, OTHER_REQUEST, STATEMENT_FAILED };

static const char *devices_of(const struct demand *demand)
{
	return demand->targets.devices.len_bytes > 0 ? buf_str(&demand->targets.devices) : NULL;
}

static bool audit(struct dashboard *dashboard, struct http_request *request, const struct demand *demand,
		  const char *id, const char *total, struct error *error)
{
	auto_json struct json *detail = json_new_object();
	char action[64];

	(void)snprintf(action, sizeof(action), "bulk.%s", demand->verb->name);
	json_set(detail, "params", json_copy(demand->params));
	json_set_string(detail, devices_of(demand) ? "devices" : "query",
			devices_of(demand) ? devices_of(demand) : buf_str(&demand->targets.query));
	json_set_string(detail, "total", total);
	return api_audit(dashboard, request, auth_of(request)->user, action, id, json_text(detail), error);
}

static enum outcome create(struct dashboard *dashboard, struct http_request *request, const struct demand *demand,
			   const char *total, char id[SELECTION_NUMBER_BYTES], struct error *error)
{
	const char *key = http_header(request, "Idempotency-Key"), *actor = auth_of(request)->user;
	const char *params = json_text(demand->params), *query = buf_str(&demand->targets.query);
	auto_pg_result struct pg_result *made = NULL, *earlier = NULL;

	if (!pg_ready(dashboard->pg, error) || !pg_begin(dashboard->pg, error) ||
	    !PG_QUERY(dashboard->pg, &made, error, CREATE_SQL, demand->verb->name, params, query, devices_of(demand),
		      total, actor, key, http_request_id(request), http_peer(request)))
		return STATEMENT_FAILED;
	if (pg_rows(made) > 0) {
		(void)snprintf(id, SELECTION_NUMBER_BYTES, "%s", pg_text(made, 0, 0));
		return audit(dashboard, request, demand, id, total, error) && pg_commit(dashboard->pg, error)
			       ? CREATED
			       : STATEMENT_FAILED;
	}
	if (!PG_QUERY(dashboard->pg, &earlier, error, EARLIER_SQL, actor, key, demand->verb->name, params, query,
		      devices_of(demand)) ||
	    pg_rows(earlier) == 0)
		return STATEMENT_FAILED;
	(void)snprintf(id, SELECTION_NUMBER_BYTES, "%s", pg_text(earlier, 0, 0));
	pg_rollback(dashboard->pg);
	return pg_bool(earlier, 0, 1) ? REPEATED : OTHER_REQUEST;
}

static void reply_job(struct dashboard *dashboard, struct http_request *request, const char *id)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {id};

	if (!api_query(dashboard, request, &row, GET_SQL, 1, params))
		return;
	if (pg_rows(row) == 0)
		http_reply_problem(request, 404, missing);
	else
		api_reply_text(request, pg_bool(row, 0, 1) ? 202 : 200, pg_text(row, 0, 0));
}

static bool check_key(struct http_request *request)
{
	const char *key = http_header(request, "Idempotency-Key");
	size_t length = key ? strlen(key) : 1;

	for (size_t i = 0; key && i < length; i++) {
		if (key[i] <= ' ' || key[i] > '~')
			length = 0;
	}
	if (length > 0 && length <= REQUEST_ID_MAX)
		return true;
	http_reply_problem(request, 422, "Idempotency-Key must be 1 to 64 printable characters without spaces.");
	return false;
}

// Whether it is a repetition, which may be for another number of devices than then.
static bool is_known(struct dashboard *dashboard, struct http_request *request, const struct demand *demand)
{
	const char *key = http_header(request, "Idempotency-Key");
	auto_pg_result struct pg_result *earlier = NULL;
	struct error error = {0};

	return key &&
	       PG_QUERY(dashboard->pg, &earlier, &error, EARLIER_SQL, auth_of(request)->user, key, demand->verb->name,
			json_text(demand->params), buf_str(&demand->targets.query), devices_of(demand)) &&
	       pg_rows(earlier) > 0;
}

// The number must be that of the preview, or nearly. False: the request is answered.
static bool check_expect(struct http_request *request, const struct demand *demand, int64_t devices)
{
	char detail[200];

	if (demand->expect >= 0 && bulk_is_expected(devices, demand->expect))
		return true;
	if (demand->expect < 0) {
		http_reply_problem(
			request, 422,
			"\"expect\" is needed: the number of devices that POST /api/v1/devices/bulk/preview shows.");
		return false;
	}
	(void)snprintf(detail, sizeof(detail),
		       "This is for %" PRId64 " devices now, not for %" PRId64
		       ". Nothing was done: look at the preview again.",
		       devices, demand->expect);
	http_reply_problem(request, 409, detail);
	return false;
}

void bulk_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	struct demand demand cleanup(demand_done) = {.verb = NULL};
	auto_pg_result struct pg_result *counts = NULL;
	char id[SELECTION_NUMBER_BYTES] = "";
	struct error error = {0};

	if (!check_key(request) || !take_demand(request, &demand) || !check_group(dashboard, request, &demand) ||
	    !count_devices(dashboard, request, &demand, &counts))
		return;
	if (!is_known(dashboard, request, &demand) && !check_expect(request, &demand, pg_int(counts, 0, ALL)))
		return;
	switch (create(dashboard, request, &demand, pg_text(counts, 0, ALL), id, &error)) {
	case CREATED:
		log_info("device.bulk", "request_id", http_request_id(request), "verb", demand.verb->name, "devices",
			 pg_text(counts, 0, ALL), "user", auth_of(request)->user);
		bulk_work(dashboard->bulk, AT_ONCE_MS);
		reply_job(dashboard, request, id);
		break;
	case REPEATED:
		reply_job(dashboard, request, id);
		break;
	case OTHER_REQUEST:
		http_reply_problem(request, 409, "This Idempotency-Key was used for another request; take a new one.");
		break;
	case STATEMENT_FAILED:
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		break;
	}
}

// ---- looking ----

void bulk_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *after = api_text(request, "after");
	char limit_text[API_LIMIT_BYTES];
	int64_t limit = 0;

	if (!api_numbered_page(request, after, &limit, limit_text))
		return;

	const char *const params[] = {after, limit_text};

	if (api_query(user, request, &rows, LIST_SQL, 2, params))
		api_reply_page(request, rows, limit);
}

void bulk_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_number_of_path(request, missing)};

	if (params[0] && api_query(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows, missing);
}

// 200 also when it has ended already: what is asked for holds.
void bulk_cancel(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_pg_result struct pg_result *result = NULL;
	const char *id = api_number_of_path(request, missing);
	struct error error = {0};

	if (!id)
		return;
	const char *actor = auth_of(request)->user;

	if (pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
	    PG_QUERY(dashboard->pg, &result, &error, CANCEL_SQL, id, actor) &&
	    (pg_affected(result) == 0 || api_audit(dashboard, request, actor, "bulk.cancel", id, "{}", &error)) &&
	    pg_commit(dashboard->pg, &error)) {
		reply_job(dashboard, request, id);
		return;
	}
	pg_rollback(dashboard->pg);
	api_reply_error(dashboard, request, &error);
}
