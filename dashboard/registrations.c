#include "dashboard/registrations.h"

#include "common/topic.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <string.h>

#define REASON_MAX 200
#define PATTERN_MAX 200
#define ID_MAX 64
#define DECISIONS_MAX 100
#define EXPLANATION_BYTES 320
#define AWAY "The database is away: try again in a few seconds."
#define REFUSED "The database refused it; the log of muster-dashboard has the reason."
#define CELL_MAX 2147483647 // integer of PostgreSQL

#define REGISTRATION                                                                                                   \
	"jsonb_build_object('id', r.id, 'tenant', r.tenant, 'state', r.state, 'wish', r.wish, 'device', r.device,"     \
	" 'replaces', r.replaces,"                                                                                     \
	" 'serial', r.serial, 'fingerprint', r.fingerprint, 'info', r.info, 'peer', r.peer, 'tags', r.tags,"           \
	" 'cell', r.cell, 'reason', r.reason, 'decided_by', nullif(r.decided_by, ''), 'decided_at', r.decided_at,"     \
	" 'created_at', r.created_at, 'polled_at', r.polled_at,"                                                       \
	" 'taken', r.state = 'pending' and device_taken(r.wish) is not null)"
#define MICROS(time) "(extract(epoch from " time ") * 1000000)::bigint"
#define TIME(micros) "(timestamptz 'epoch' + " micros "::bigint * interval '1 microsecond')"
// A pattern in which * stands for any text; null for any value.
#define MATCHES(value, pattern)                                                                                        \
	"(" pattern "::text is null or " value " like replace(replace(replace(replace(" pattern                        \
	", '\\', '\\\\'), '%', '\\%'), '_', '\\_'), '*', '%'))"

// $1 state, $2 limit, $3 and $4 created_at and id of the last one seen, $5 on: as in patterns. Newest first.
static const char LIST_SQL[] =
	"select " REGISTRATION ", " MICROS("r.created_at") " || '.' || r.id from registration r"
	" where ($1::text is null or r.state = $1)"
	" and ($3::bigint is null or (r.created_at <= " TIME("$3")
	"  and (r.created_at < " TIME("$3") " or r.id > $4)))"
	" and " MATCHES("r.serial", "$5") " and " MATCHES("r.wish", "$6")
	" and " MATCHES("r.info->>'model'", "$7") " and " MATCHES("r.info->>'os'", "$8")
	" and " MATCHES("r.peer", "$9") " and " MATCHES("r.fingerprint", "$10")
	" order by r.created_at desc, r.id limit $2::integer + 1";
const char registrations_changed_sql[] =
	"select r.id, " MICROS("r.changed_at") ", " REGISTRATION ", null, r.tenant, null from registration r"
	" where r.changed_at > " TIME("$1") " and $3::text[] is null order by r.changed_at desc limit $2::integer";
static const char *const patterns[] = {"serial", "device", "model", "os", "peer", "fingerprint"};
enum { PATTERNS = sizeof(patterns) / sizeof(patterns[0]), FIXED_PARAMS = 4 };

static const char GET_SQL[] =
	"select " REGISTRATION " || jsonb_build_object('events', coalesce((select jsonb_agg(jsonb_build_object("
	"'type', e.type, 'at', e.at, 'device', e.device, 'peer', e.peer, 'reason', e.reason,"
	" 'request_id', e.request_id) order by e.id) from enrollment_event e where e.registration = r.id), '[]'))"
	" from registration r where r.id = $1";

static const char OPEN_SQL[] =
	"select state, coalesce($2, wish), decided_by from registration where id = $1 for update";
// Whoever else has that id, or is about to; and whether it is a device of somebody else, which cannot be replaced.
static const char TAKEN_SQL[] =
	"select device_taken($1) is not null,"
	" exists (select from registration where device = $1 and state = 'approved' and id <> $2),"
	" not coalesce(device_taken($1), true)";
static const char APPROVE_SQL[] =
	"update registration set state = 'approved', device = $2, cell = $3::integer, replaces = $4::boolean,"
	" tags = array(select jsonb_array_elements_text($5::jsonb)), reason = $6, decided_by = $7, decided_at = now()"
	" where id = $1";
static const char REJECT_SQL[] =
	"update registration set state = 'rejected', device = null, replaces = false, reason = $2, decided_by = $3,"
	" decided_at = now() where id = $1";
static const char EVENT_SQL[] = "insert into enrollment_event (type, registration, device, peer, request_id, reason)"
				" values ($1, $2, $3, $4, $5, $6)";
static const char MISSING[] = "There is no registration with this id; GET /api/v1/registrations lists them.";

void registrations_list(struct http_request *request, void *user)
{
	static const char *const states[] = {"pending", "approved", "rejected", "issued", NULL};
	const char *after = api_text(request, "after");
	const char *params[FIXED_PARAMS + PATTERNS] = {api_text(request, "state")};
	char cursor[API_CURSOR_MAX], limit_text[API_LIMIT_BYTES], *parts[2];
	int64_t limit = 0, ignored = 0;

	if (!api_choice(request, "state", states) || !api_limit_text(request, &limit, limit_text))
		return;
	params[1] = limit_text;
	if (after) {
		(void)snprintf(cursor, sizeof(cursor), "%s", after);
		if (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &ignored)) {
			(void)api_bad_cursor(request);
			return;
		}
		params[2] = parts[0];
		params[3] = parts[1];
	}
	for (size_t i = 0; i < PATTERNS; i++) {
		params[FIXED_PARAMS + i] = api_text(request, patterns[i]);
		if (params[FIXED_PARAMS + i] && strlen(params[FIXED_PARAMS + i]) > PATTERN_MAX) {
			http_reply_problem(request, 400, "A pattern must not be above 200 bytes.");
			return;
		}
	}

	auto_pg_result struct pg_result *rows = NULL;

	if (api_query_again(user, request, &rows, LIST_SQL, FIXED_PARAMS + PATTERNS, params))
		api_reply_page(request, rows, limit);
}

void registrations_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {http_param(request, "id")};

	if (api_query_again(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows, MISSING);
}

// ---- decisions ----

struct decision {
	bool approves;
	const char *device; // NULL: its wish, or an id is made
	bool replace;
	int64_t cell; // 0: the least loaded
	const char *reason;
	struct buf tags; // a JSON array
};

static void decision_done(struct decision *decision)
{
	buf_done(&decision->tags);
}

static bool read_reason(const struct json *json, struct decision *decision, struct error *error)
{
	const struct json *reason = json_member(json, "reason");

	decision->reason = "";
	return !reason || (json_as_string(reason, &decision->reason) && strlen(decision->reason) <= REASON_MAX) ||
	       error_set(error, ERROR_INVALID, "\"reason\" must be a text of at most 200 bytes.");
}

static bool read_approval(const struct json *json, struct decision *decision, struct error *error)
{
	const struct json *device = json_member(json, "device"), *cell = json_member(json, "cell");
	const struct json *replace = json_member(json, "replace");

	if (device && (!json_as_string(device, &decision->device) || !topic_is_device_id(decision->device)))
		return error_set(error, ERROR_INVALID,
				 "\"device\" must match [a-z0-9][a-z0-9-]{0,62}; leave it out for the "
				 "id that it asks for.");
	if (cell && (!json_as_int(cell, &decision->cell) || decision->cell < 1 || decision->cell > CELL_MAX))
		return error_set(error, ERROR_INVALID, "\"cell\" must be the number of a cell.");
	if (replace && !json_as_bool(replace, &decision->replace))
		return error_set(error, ERROR_INVALID, "\"replace\" must be true or false.");
	return api_tags(json, &decision->tags, error);
}

enum outcome { DECIDED, MISSING_ONE, SETTLED, TAKEN_BY_DEVICE, TAKEN_BY_OTHER, TAKEN_ELSEWHERE, STATEMENT_FAILED };

struct matter { // what is said about the registration when it can't be decided so
	char state[16];
	char device[DEVICE_ID_MAX + 1];
	char decided_by[AUTH_USER_MAX];
};

static enum outcome open_matter(struct dashboard *dashboard, const char *id, const struct decision *decision,
				struct matter *matter, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL, *taken = NULL;

	if (!PG_QUERY(dashboard->pg, &row, error, OPEN_SQL, id, decision->device))
		return STATEMENT_FAILED;
	if (pg_rows(row) == 0)
		return MISSING_ONE;
	const char *device = pg_text(row, 0, 1);

	(void)snprintf(matter->state, sizeof(matter->state), "%s", pg_text(row, 0, 0));
	(void)snprintf(matter->device, sizeof(matter->device), "%s", device ? device : "");
	(void)snprintf(matter->decided_by, sizeof(matter->decided_by), "%s", pg_text(row, 0, 2));
	if (strcmp(matter->state, "pending") != 0 &&
	    strcmp(matter->state, decision->approves ? "rejected" : "approved") != 0)
		return SETTLED;
	if (!decision->approves || !matter->device[0])
		return DECIDED;
	if (!PG_QUERY(dashboard->pg, &taken, error, TAKEN_SQL, matter->device, id))
		return STATEMENT_FAILED;
	if (pg_bool(taken, 0, 1))
		return TAKEN_BY_OTHER;
	if (pg_bool(taken, 0, 2))
		return TAKEN_ELSEWHERE;
	return pg_bool(taken, 0, 0) && !decision->replace ? TAKEN_BY_DEVICE : DECIDED;
}

static bool write_decision(struct dashboard *dashboard, struct http_request *request, const char *id,
			   const struct decision *decision, const struct matter *matter, struct error *error)
{
	const char *user = auth_of(request)->user,
		   *device = decision->approves && matter->device[0] ? matter->device : NULL;
	auto_buf struct buf detail;
	char cell[24], reason[AUTH_USER_MAX + REASON_MAX + 8];
	struct pg *pg = dashboard->pg;

	buf_init(&detail, sizeof(reason) * 6 + 256);
	buf_add_str(&detail, "{\"reason\":");
	json_quote(&detail, decision->reason);
	buf_addf(&detail, ",\"device\":\"%s\",\"replace\":%s}", device ? device : "",
		 decision->replace ? "true" : "false");
	(void)snprintf(reason, sizeof(reason), "by %s%s%s", user, decision->reason[0] ? ": " : "", decision->reason);
	(void)snprintf(cell, sizeof(cell), "%lld", (long long)decision->cell);
	bool ok = decision->approves ? PG_QUERY(pg, NULL, error, APPROVE_SQL, id, device, decision->cell ? cell : NULL,
						decision->replace ? "true" : "false", buf_str(&decision->tags),
						decision->reason, user)
				     : PG_QUERY(pg, NULL, error, REJECT_SQL, id, decision->reason, user);
	return ok &&
	       PG_QUERY(pg, NULL, error, EVENT_SQL, decision->approves ? "approve" : "reject", id, device,
			http_peer(request), http_request_id(request), reason) &&
	       api_audit(dashboard, request, user, decision->approves ? "registration.approve" : "registration.reject",
			 id, buf_str(&detail), error);
}

// Why it was not decided, for outcomes that the caller can do something about.
static const char *explain(enum outcome outcome, const struct matter *matter, char out[EXPLANATION_BYTES])
{
	switch (outcome) {
	case SETTLED:
		(void)snprintf(out, EXPLANATION_BYTES, "This registration is %s already%s%s; %s.", matter->state,
			       matter->decided_by[0] ? ", by " : "", matter->decided_by,
			       strcmp(matter->state, "issued") == 0 ? "its device can be revoked"
								    : "nothing was changed");
		return out;
	case TAKEN_BY_DEVICE:
		(void)snprintf(out, EXPLANATION_BYTES,
			       "%s is a device already: give another \"device\", or \"replace\" true "
			       "to let this one take its place.",
			       matter->device);
		return out;
	case TAKEN_BY_OTHER:
		(void)snprintf(out, EXPLANATION_BYTES,
			       "%s was given to another registration that is approved and not issued "
			       "yet: give another \"device\", or reject that one.",
			       matter->device);
		return out;
	case TAKEN_ELSEWHERE:
		(void)snprintf(out, EXPLANATION_BYTES,
			       "%s is an id that cannot be given here: give another \"device\".", matter->device);
		return out;
	default:
		return MISSING;
	}
}

// In a transaction of its own.
static enum outcome settle(struct dashboard *dashboard, struct http_request *request, const char *id,
			   const struct decision *decision, struct matter *matter, struct error *error)
{
	enum outcome outcome = STATEMENT_FAILED;

	if (!pg_ready(dashboard->pg, error) || !pg_begin(dashboard->pg, error))
		return STATEMENT_FAILED;
	outcome = open_matter(dashboard, id, decision, matter, error);
	if (outcome == DECIDED && !write_decision(dashboard, request, id, decision, matter, error))
		outcome = STATEMENT_FAILED;
	if (outcome != DECIDED) {
		pg_rollback(dashboard->pg);
		return outcome;
	}
	if (!pg_commit(dashboard->pg, error))
		return STATEMENT_FAILED;
	log_info(decision->approves ? "registration.approve" : "registration.reject", "registration", id, "device",
		 matter->device[0] ? matter->device : NULL, "user", auth_of(request)->user, "request_id",
		 http_request_id(request));
	return DECIDED;
}

static void decide(struct http_request *request, struct dashboard *dashboard, bool approves)
{
	const char *id = http_param(request, "id");
	struct decision decision cleanup(decision_done) = {.approves = approves};
	auto_json struct json *json = http_body_json(request);
	char explanation[EXPLANATION_BYTES];
	struct matter matter = {.state = ""};
	struct error error = {0};

	if (!json)
		return;
	if (!read_reason(json, &decision, &error) || (approves && !read_approval(json, &decision, &error))) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	enum outcome outcome = settle(dashboard, request, id, &decision, &matter, &error);

	if (outcome == DECIDED)
		registrations_get(request, dashboard);
	else if (outcome == STATEMENT_FAILED)
		api_reply_error(dashboard, request, &error);
	else
		http_reply_problem(request, outcome == MISSING_ONE ? 404 : 409,
				   explain(outcome, &matter, explanation));
}

void registrations_approve(struct http_request *request, void *user)
{
	decide(request, user, true);
}

void registrations_reject(struct http_request *request, void *user)
{
	decide(request, user, false);
}

// ---- many at once ----

static bool read_ids(const struct json *json, const struct json **ids, struct error *error)
{
	const char *id = NULL;

	*ids = json_member(json, "ids");
	size_t count = *ids && json_type(*ids) == JSON_ARRAY ? json_array_length(*ids) : 0;
	bool sound = count >= 1 && count <= DECISIONS_MAX;

	for (size_t i = 0; sound && i < count; i++)
		sound = json_as_string(json_array_at(*ids, i), &id) && strlen(id) <= ID_MAX;
	return sound || error_set(error, ERROR_INVALID, "\"ids\" must be an array of 1 to %d ids of registrations.",
				  DECISIONS_MAX);
}

static bool read_decisions(const struct json *json, struct decision *decision, const struct json **ids,
			   struct error *error)
{
	const char *verb = "";
	bool sound = json_member_string(json, "verb", &verb) &&
		     (strcmp(verb, "approve") == 0 || strcmp(verb, "reject") == 0);

	if (!sound || json_member(json, "device") || json_member(json, "replace"))
		return error_set(error, ERROR_INVALID, "\"verb\" must be approve or reject. Many at once get the names "
						       "that they ask for: \"device\" and \"replace\" go with one.");
	decision->approves = strcmp(verb, "approve") == 0;
	return read_ids(json, ids, error) && read_reason(json, decision, error) &&
	       (!decision->approves || read_approval(json, decision, error));
}

// Each is decided by itself: one that cannot be does not hold up the others.
void registrations_decide(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	struct decision decision cleanup(decision_done) = {.device = NULL};
	auto_json struct json *json = http_body_json(request), *answer = json_new_object();
	const struct json *ids = NULL;
	struct json *items = json_new_array();
	struct error error = {0};

	json_set(answer, "items", items);
	if (!json)
		return;
	if (!read_decisions(json, &decision, &ids, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	for (size_t i = 0; i < json_array_length(ids); i++) {
		struct json *item = json_new_object();
		struct matter matter = {.state = ""};
		char explanation[EXPLANATION_BYTES];
		const char *id = "";

		(void)json_as_string(json_array_at(ids, i), &id);
		enum outcome outcome = settle(dashboard, request, id, &decision, &matter, &error);

		json_set_string(item, "id", id);
		json_set_bool(item, "done", outcome == DECIDED);
		if (outcome == STATEMENT_FAILED)
			json_set_string(item, "detail", error.kind == ERROR_UNREACHABLE ? AWAY : REFUSED);
		else if (outcome != DECIDED)
			json_set_string(item, "detail", explain(outcome, &matter, explanation));
		json_append(items, item);
		if (outcome == STATEMENT_FAILED)
			log_error("registration.failed", "registration", id, "error", error.what, "request_id",
				  http_request_id(request));
	}
	http_reply_json(request, 200, steal(answer));
}
