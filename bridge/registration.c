#include "bridge/registration.h"

#include "common/crypto.h"

#include <stdio.h>
#include <string.h>

// New ones come in one after another, so that the ceiling holds however many bridges there are.
static const char sql_lock[] = "select pg_advisory_xact_lock(hashtext('muster.registration'))";
// Whoever has this key or this secret: one row that agrees in both is the one that asks.
static const char sql_known[] =
	"select id, key_sha256 = $1, secret_hash = decode($2, 'hex'), state, reason from registration"
	" where key_sha256 = $1 or secret_hash = decode($2, 'hex')";
static const char sql_insert[] =
	"insert into registration (secret_hash, id, key_sha256, csr, fingerprint, serial, wish, info, peer)"
	" values (decode($1, 'hex'), $2, $3, $4, $5, $6, $7, $8::jsonb, $9)";
static const char sql_pending[] = "select count(*) from registration where state = 'pending'";
static const char sql_make_room[] =
	"with gone as (delete from registration where state = 'pending'"
	" and coalesce(polled_at, created_at) < now() - make_interval(days => $1::text::integer) returning id, wish)"
	" insert into enrollment_event (type, registration, device, reason)"
	" select 'expired', id, wish, format('it has not asked for %s days, and others wait', $1::text) from gone";
// A line of the list is good for one key, and never for the id of a device that is there: what a device says its serial
// number is proves nothing.
#define LISTED_SQL                                                                                                     \
	"p.used_at is null and (p.device is null or not exists (select from device d where d.device = p.device))"
static const char sql_use_list[] =
	"with used as (update preapproved p set used_at = now() where " LISTED_SQL
	"  and p.serial = (select r.serial from registration r where r.id = $1 and r.state = 'pending')"
	"  returning p.device, p.tags, p.cell, p.created_by, p.tenant),"
	" decided as (update registration r set state = 'approved', device = used.device, tags = used.tags,"
	"  cell = used.cell, tenant = used.tenant, decided_by = 'pre-approved', decided_at = now(),"
	"  reason = 'its serial number is on the list of ' || used.created_by"
	"  from used where r.id = $1 and r.state = 'pending' returning r.id, r.device, r.reason)"
	" insert into enrollment_event (type, registration, device, peer, request_id, reason)"
	" select 'approve', id, device, $2, $3, reason from decided";
static const char sql_find[] =
	"select r.id, r.state, r.reason, exists (select from preapproved p where p.serial = r.serial and " LISTED_SQL
	"),"
	" r.polled_at is null or r.polled_at < now() - interval '1 minute'"
	" from registration r where r.secret_hash = decode($1, 'hex')";
static const char sql_touch[] = "update registration set polled_at = now() where id = $1";
static const char sql_open[] =
	"select state, reason, device, tags, cell, replaces, csr, fingerprint, key_sha256, wish, tenant"
	" from registration"
	" where id = $1 for update";
static const char sql_issued[] =
	"update registration set state = 'issued', device = $2, polled_at = now() where id = $1";
static const char sql_undecided[] =
	"update registration set state = 'pending', reason = $2, device = null, replaces = false, cell = null,"
	" decided_by = '', decided_at = null, polled_at = now() where id = $1";
static const char sql_event[] = "insert into enrollment_event (type, registration, device, peer, request_id, reason)"
				" values ($1, $2, nullif($3, ''), $4, $5, $6)";

// Columns of sql_find and sql_open.
enum { FOUND_ID, FOUND_STATE, FOUND_REASON, FOUND_LISTED, FOUND_STALE };
enum { STATE, REASON, DEVICE, TAGS, CELL, REPLACES, CSR, FINGERPRINT, KEY_SHA256, WISH, TENANT };

struct visit {
	struct enroll *enroll;
	const struct registration_request *request; // NULL: a poll
	const char *secret_sha256;
	const char *peer;
	const char *request_id;
	struct registration_result *result;
};

void registration_result_done(struct registration_result *result)
{
	enroll_result_done(&result->enroll);
	memset(result, 0, sizeof(*result));
}

static enum registration_outcome outcome_of(const char *state)
{
	if (strcmp(state, "pending") == 0)
		return REGISTRATION_PENDING;
	return strcmp(state, "rejected") == 0 ? REGISTRATION_REJECTED : REGISTRATION_APPROVED;
}

static void set_id(struct registration_result *result, const char *id)
{
	(void)snprintf(result->id, sizeof(result->id), "%.16s", id);
}

static void set_state(struct registration_result *result, const char *state, const char *reason)
{
	result->outcome = outcome_of(state);
	(void)snprintf(result->reason, sizeof(result->reason), "%s", reason);
}

static bool record(const struct visit *visit, const char *type, const char *device, const char *reason,
		   struct error *error)
{
	return PG_QUERY(visit->enroll->pg, NULL, error, sql_event, type, visit->result->id, device, visit->peer,
			visit->request_id, reason);
}

// Approves a pending one whose serial number was listed.
static bool use_list(const struct visit *visit, bool *approved, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (!PG_QUERY(visit->enroll->pg, &rows, error, sql_use_list, visit->result->id, visit->peer, visit->request_id))
		return false;
	*approved = pg_affected(rows) == 1;
	return true;
}

// ---- asking ----

static bool count_pending(const struct visit *visit, int64_t *count, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (!pg_query(visit->enroll->pg, &rows, error, sql_pending, 0, NULL))
		return false;
	*count = pg_int(rows, 0, 0);
	return true;
}

// The one that asks is counted already.
static bool find_room(const struct visit *visit, bool *room, struct error *error)
{
	const struct options *options = visit->enroll->options;
	int64_t count = 0;
	char days[24];

	(void)snprintf(days, sizeof(days), "%ld", options->registration_keep_days);
	if (!count_pending(visit, &count, error))
		return false;
	if (count > options->registration_pending_max &&
	    (!PG_QUERY(visit->enroll->pg, NULL, error, sql_make_room, days) || !count_pending(visit, &count, error)))
		return false;
	*room = count <= options->registration_pending_max;
	return true;
}

static bool create(const struct visit *visit, const char *key_sha256, struct error *error)
{
	const struct registration_request *request = visit->request;
	struct registration_result *result = visit->result;
	bool approved = false;
	bool room = true;

	set_id(result, key_sha256);
	if (!PG_QUERY(visit->enroll->pg, NULL, error, sql_insert, visit->secret_sha256, result->id, key_sha256,
		      request->csr, request->fingerprint, request->serial, request->device, request->info,
		      visit->peer) ||
	    !record(visit, "register", request->device, request->serial ? request->serial : "", error) ||
	    !use_list(visit, &approved, error))
		return false;
	if (!approved && !find_room(visit, &room, error))
		return false;
	result->created = room;
	result->outcome = !room ? REGISTRATION_FULL : approved ? REGISTRATION_APPROVED : REGISTRATION_PENDING;
	return true;
}

static bool ask(const struct visit *visit, struct error *error)
{
	auto_pg_result struct pg_result *known = NULL;
	struct registration_result *result = visit->result;
	char key_sha256[SHA256_HEX_BYTES];

	result->outcome = REGISTRATION_BAD_CSR;
	if (!pki_csr_key_sha256(visit->request->csr, key_sha256, NULL))
		return true;
	if (!pg_query(visit->enroll->pg, NULL, error, sql_lock, 0, NULL) ||
	    !PG_QUERY(visit->enroll->pg, &known, error, sql_known, key_sha256, visit->secret_sha256))
		return false;
	if (pg_rows(known) == 0)
		return create(visit, key_sha256, error);
	result->outcome = REGISTRATION_CONFLICT;
	if (pg_rows(known) == 1 && pg_bool(known, 0, 1) && pg_bool(known, 0, 2)) {
		set_id(result, pg_text(known, 0, 0));
		set_state(result, pg_text(known, 0, 3), pg_text(known, 0, 4));
	}
	return true;
}

// ---- polling ----

// A person has to decide again.
static bool undecide(const struct visit *visit, const char *reason, struct error *error)
{
	struct registration_result *result = visit->result;

	enroll_result_done(&result->enroll);
	set_state(result, "pending", reason);
	return pg_exec(visit->enroll->pg, "rollback to savepoint admission", error) &&
	       PG_QUERY(visit->enroll->pg, NULL, error, sql_undecided, result->id, result->reason) &&
	       record(visit, "refused", NULL, result->reason, error);
}

static bool admit(const struct visit *visit, const struct enroll_claim *claim, const struct enroll_grant *grant,
		  struct error *error)
{
	struct registration_result *result = visit->result;
	struct enroll_result *enrolled = &result->enroll;
	char reason[REGISTRATION_REASON_MAX];

	if (!pg_exec(visit->enroll->pg, "savepoint admission", error) ||
	    !enroll_admit(visit->enroll, claim, grant, enrolled, error))
		return false;
	if (enrolled->event) {
		(void)snprintf(reason, sizeof(reason), "approved, but it could not be issued: %s (%s)",
			       enrolled->reason, enrolled->device[0] ? enrolled->device : "no id");
		return undecide(visit, reason, error);
	}
	result->outcome = REGISTRATION_ISSUED;
	return PG_QUERY(visit->enroll->pg, NULL, error, sql_issued, result->id, enrolled->device) &&
	       record(visit, "issue", enrolled->device, enrolled->revoked ? "re-enrolment" : "", error);
}

// Of one that is not pending, or whose serial number is listed.
static bool settle(const struct visit *visit, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	struct registration_result *result = visit->result;
	bool found;

	if (!use_list(visit, &found, error) || !PG_QUERY(visit->enroll->pg, &row, error, sql_open, result->id))
		return false;
	if (pg_rows(row) == 0) {
		result->outcome = REGISTRATION_UNKNOWN;
		return true;
	}
	const char *state = pg_text(row, 0, STATE);
	const struct enroll_claim claim = {
		.csr = pg_text(row, 0, CSR),
		.device = pg_text(row, 0, WISH),
		.fingerprint = pg_text(row, 0, FINGERPRINT),
		.peer = visit->peer,
		.request_id = visit->request_id,
	};
	const struct enroll_grant grant = {
		.device = pg_text(row, 0, DEVICE),
		.replaces = pg_bool(row, 0, REPLACES),
		.tags = pg_text(row, 0, TAGS),
		.cell = pg_text(row, 0, CELL),
		.tenant = pg_text(row, 0, TENANT),
	};
	set_state(result, state, pg_text(row, 0, REASON));
	if (strcmp(state, "approved") == 0)
		return admit(visit, &claim, &grant, error);
	if (strcmp(state, "issued") != 0)
		return true;
	if (!enroll_again(visit->enroll, &claim, &grant, pg_text(row, 0, KEY_SHA256), &result->enroll, &found, error))
		return false;
	if (!found)
		result->enroll.reason = "the certificate is gone";
	result->outcome = found && !result->enroll.event ? REGISTRATION_ISSUED : REGISTRATION_DENIED;
	return true;
}

// Most polls find nothing new: they cost one statement, and once a minute two.
static bool poll(const struct visit *visit, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;

	visit->result->outcome = REGISTRATION_UNKNOWN;
	if (!PG_QUERY(visit->enroll->pg, &row, error, sql_find, visit->secret_sha256))
		return false;
	if (pg_rows(row) == 0)
		return true;
	set_id(visit->result, pg_text(row, 0, FOUND_ID));
	set_state(visit->result, pg_text(row, 0, FOUND_STATE), pg_text(row, 0, FOUND_REASON));
	if (visit->result->outcome == REGISTRATION_APPROVED || pg_bool(row, 0, FOUND_LISTED))
		return settle(visit, error);
	return !pg_bool(row, 0, FOUND_STALE) || PG_QUERY(visit->enroll->pg, NULL, error, sql_touch, visit->result->id);
}

// ---- both ----

static bool transact(const struct visit *visit, struct error *error)
{
	struct pg *pg = visit->enroll->pg;

	if (!pg_ready(pg, error) || !pg_begin(pg, error))
		return false;
	bool ok = visit->request ? ask(visit, error) : poll(visit, error);
	if (ok && visit->result->outcome != REGISTRATION_FULL)
		return pg_commit(pg, error);
	pg_rollback(pg);
	return ok;
}

// A connection that died since its last use is noticed only by using it. A second try is safe even if the COMMIT of the
// first took place: it finds what that did.
static void run(const struct visit *visit, struct error *error)
{
	struct error local = {.kind = ERROR_NONE};

	for (int i = 0; i < 2; i++) {
		if (transact(visit, &local))
			return;
		registration_result_done(visit->result);
		if (local.kind != ERROR_UNREACHABLE)
			break;
	}
	if (error)
		*error = local;
	visit->result->outcome = REGISTRATION_FAILED;
}

struct registration_result registration_ask(struct enroll *enroll, const struct registration_request *request,
					    struct error *error)
{
	struct registration_result result = {.outcome = REGISTRATION_FAILED};
	char secret_sha256[SHA256_HEX_BYTES];
	const struct visit visit = {
		.enroll = enroll,
		.request = request,
		.secret_sha256 = secret_sha256,
		.peer = request->peer,
		.request_id = request->request_id,
		.result = &result,
	};

	crypto_sha256_hex(request->secret, strlen(request->secret), secret_sha256);
	run(&visit, error);
	return result;
}

struct registration_result registration_poll(struct enroll *enroll, const char *secret, const char *peer,
					     const char *request_id, struct error *error)
{
	struct registration_result result = {.outcome = REGISTRATION_FAILED};
	char secret_sha256[SHA256_HEX_BYTES];
	const struct visit visit = {
		.enroll = enroll,
		.secret_sha256 = secret_sha256,
		.peer = peer,
		.request_id = request_id,
		.result = &result,
	};

	crypto_sha256_hex(secret, strlen(secret), secret_sha256);
	run(&visit, error);
	return result;
}
