#include "dashboard/tokens.h"

#include "common/crypto.h"
#include "common/topic.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <string.h>

#define USES_MAX 100000
#define LIFETIME_DEFAULT_S 3600
#define LIFETIME_MAX_S 315360000 // ten years
#define CELL_MAX 2147483647	 // integer of PostgreSQL

#define TOKEN                                                                                                          \
	"jsonb_build_object('id', t.id, 'device', t.device, 'tags', t.tags, 'uses_left', t.uses_left, 'cell', t.cell," \
	" 'created_by', t.created_by, 'created_at', t.created_at, 'expires_at', t.expires_at,"                         \
	" 'revoked_at', t.revoked_at, 'state', case when t.revoked_at is not null then 'revoked'"                      \
	"  when t.uses_left = 0 then 'used' when t.expires_at <= now() then 'expired' else 'valid' end)"
#define MICROS(time) "(extract(epoch from " time ") * 1000000)::bigint"
#define TIME(micros) "(timestamptz 'epoch' + " micros "::bigint * interval '1 microsecond')"

// $1 limit, $2 and $3 created_at and id of the last one seen. Newest first.
static const char LIST_SQL[] = "select " TOKEN ", " MICROS(
	"t.created_at") " || '.' || t.id from enrollment_token t"
			" where $2::bigint is null or (t.created_at <= " TIME("$2") "  and (t.created_at < " TIME(
				"$2") " or t.id > $3))"
				      " order by t.created_at desc, t.id limit $1::integer + 1";
static const char GET_SQL[] =
	"select " TOKEN " || jsonb_build_object('events', coalesce((select jsonb_agg(jsonb_build_object("
	"'type', e.type, 'at', e.at, 'device', e.device, 'peer', e.peer, 'reason', e.reason,"
	" 'request_id', e.request_id) order by e.id) from enrollment_event e where e.token_id = t.id), '[]'))"
	" from enrollment_token t where t.id = $1";
static const char CREATE_SQL[] =
	"select create_enrollment_token($1, $2, array(select jsonb_array_elements_text($3::jsonb)), $4::integer,"
	" $5::bigint, nullif($6::integer, 0), $7, $8)";
static const char REVOKE_SQL[] = "select revoke_enrollment_token($1, $2, $3)";

void tokens_list(struct http_request *request, void *user)
{
	const char *after = api_text(request, "after");
	char cursor[API_CURSOR_MAX], limit_text[24], *parts[2] = {NULL};
	int64_t limit = 0, ignored = 0;

	if (!api_limit(request, &limit))
		return;
	if (after) {
		(void)snprintf(cursor, sizeof(cursor), "%s", after);
		if (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &ignored)) {
			(void)api_bad_cursor(request);
			return;
		}
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {limit_text, parts[0], parts[1]};

	if (api_query_again(user, request, &rows, LIST_SQL, 3, params))
		api_reply_page(request, rows, limit);
}

void tokens_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {http_param(request, "id")};

	if (api_query_again(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows,
			      "There is no enrolment token with this id; GET /api/v1/tokens lists them.");
}

// ---- making ----

struct wanted {
	const char *device;
	int64_t uses, expires_s, cell;
	struct buf tags; // a JSON array
};

static void wanted_done(struct wanted *wanted)
{
	buf_done(&wanted->tags);
}

static bool read_number(const struct json *json, const char *name, int64_t max, int64_t *out, struct error *error)
{
	const struct json *value = json_member(json, name);

	return !value || (json_as_int(value, out) && *out >= 1 && *out <= max) ||
	       error_set(error, ERROR_INVALID, "\"%s\" must be an integer from 1 to %lld.", name, (long long)max);
}

static bool read_wanted(const struct json *json, struct wanted *wanted, struct error *error)
{
	const struct json *device = json_member(json, "device");

	wanted->uses = 1;
	wanted->expires_s = LIFETIME_DEFAULT_S;
	if (device && (!json_as_string(device, &wanted->device) || !topic_is_device_id(wanted->device)))
		return error_set(error, ERROR_INVALID,
				 "\"device\" must match [a-z0-9][a-z0-9-]{0,62}; leave it out for a "
				 "token that any device may use.");
	return read_number(json, "uses", USES_MAX, &wanted->uses, error) &&
	       read_number(json, "expires_s", LIFETIME_MAX_S, &wanted->expires_s, error) &&
	       read_number(json, "cell", CELL_MAX, &wanted->cell, error) && api_tags(json, &wanted->tags, error);
}

static bool create(struct dashboard *dashboard, struct http_request *request, const struct wanted *wanted,
		   const char *token, char id[16], struct error *error)
{
	const char *user = auth_of(request)->user;
	char hash[SHA256_HEX_BYTES], uses[24], lifetime[24], cell[24];
	auto_pg_result struct pg_result *made = NULL;
	auto_buf struct buf detail;

	buf_init(&detail, 256);
	crypto_sha256_hex(token, strlen(token), hash);
	(void)snprintf(uses, sizeof(uses), "%lld", (long long)wanted->uses);
	(void)snprintf(lifetime, sizeof(lifetime), "%lld", (long long)wanted->expires_s);
	(void)snprintf(cell, sizeof(cell), "%lld", (long long)wanted->cell);
	buf_addf(&detail, "{\"device\":\"%s\",\"uses\":%s,\"expires_s\":%s}", wanted->device ? wanted->device : "",
		 uses, lifetime);
	if (!PG_QUERY(dashboard->pg, &made, error, CREATE_SQL, hash, wanted->device, buf_str(&wanted->tags), uses,
		      lifetime, cell, user, http_request_id(request)))
		return false;
	(void)snprintf(id, 16, "%s", pg_text(made, 0, 0));
	return api_audit(dashboard, request, user, "token.create", id, buf_str(&detail), error);
}

void tokens_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	struct wanted wanted cleanup(wanted_done) = {.device = NULL};
	auto_json struct json *json = http_body_json(request);
	char token[TOKEN_TEXT_BYTES], id[16] = "", location[64];
	struct error error = {0};

	if (!json)
		return;
	if (!read_wanted(json, &wanted, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	crypto_random_token(token);
	if (!pg_ready(dashboard->pg, &error) || !pg_begin(dashboard->pg, &error) ||
	    !create(dashboard, request, &wanted, token, id, &error) || !pg_commit(dashboard->pg, &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		return;
	}
	log_info("sec.token.create", "token", id, "user", auth_of(request)->user, "request_id",
		 http_request_id(request));
	struct json *answer = json_new_object();

	json_set_string(answer, "id", id);
	json_set_string(answer, "token", token);
	json_set_string(answer, "device", wanted.device);
	json_set_int(answer, "uses", wanted.uses);
	json_set_int(answer, "expires_s", wanted.expires_s);
	(void)snprintf(location, sizeof(location), "/api/v1/tokens/%s", id);
	http_reply_header(request, "Location", location);
	http_reply_json(request, 201, answer);
	crypto_wipe(token, sizeof(token));
}

void tokens_revoke(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *id = http_param(request, "id"), *actor = auth_of(request)->user;
	auto_pg_result struct pg_result *gone = NULL;
	struct error error = {0};
	bool done = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
		    PG_QUERY(dashboard->pg, &gone, &error, REVOKE_SQL, id, actor, http_request_id(request));
	bool found = done && pg_text(gone, 0, 0);

	if (found)
		done = api_audit(dashboard, request, actor, "token.revoke", id, "{}", &error) &&
		       pg_commit(dashboard->pg, &error);
	if (!done || !found)
		pg_rollback(dashboard->pg);
	if (!done) {
		api_reply_error(dashboard, request, &error);
	} else if (!found) {
		http_reply_problem(request, 404,
				   "There is no enrolment token with this id that is not revoked already; "
				   "GET /api/v1/tokens lists them.");
	} else {
		log_info("sec.token.revoke", "token", id, "user", actor, "request_id", http_request_id(request));
		tokens_get(request, dashboard);
	}
}
