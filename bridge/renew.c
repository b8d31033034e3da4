#include "bridge/renew.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_S 60	   // between two certificates of one device, or less:
#define EVERY_SHARE 12	   // this part of a lifetime
#define CERTIFICATES_MAX 8 // that hold at once: the one in use, and answers that were lost

static const char sql_device[] =
	"select d.enabled and not exists (select from revocation r where r.kind = 'device' and r.name = d.device and"
	" r.revoked), d.fingerprint, (select s.certificate from device_state s where s.device = d.device)"
	" from device d where d.device = $1 for update of d";
// Those that hold, the oldest first.
static const char sql_certificates[] =
	"select ltrim(c.serial, '0'), c.key_sha256, c.authority, extract(epoch from c.not_before)::bigint,"
	" extract(epoch from c.not_after)::bigint, extract(epoch from now() - c.created_at)::bigint, c.token_id is "
	"null,"
	" c.pem from certificate c where c.device = $1 and c.revoked_at is null and c.not_after > now() and not exists"
	" (select from revocation r where r.kind = 'serial' and r.name = ltrim(c.serial, '0') and r.revoked)"
	" order by c.created_at, c.serial";
static const char sql_insert[] =
	"insert into certificate (serial, device, key_sha256, sha256, not_before, not_after, pem, authority)"
	" values ($1, $2, $3, $4, to_timestamp($5::bigint), to_timestamp($6::bigint), $7, $8)";
static const char sql_event[] = "insert into enrollment_event (type, device, peer, request_id, reason)"
				" values ($1, $2, $3, $4, $5)";

enum device_column { DEVICE_ALLOWED, DEVICE_FINGERPRINT, DEVICE_CERTIFICATE };
enum certificate_column { SERIAL, KEY_SHA256, AUTHORITY, NOT_BEFORE, NOT_AFTER, AGE_S, RENEWED, PEM };

// What one transaction knows as it goes.
struct attempt {
	struct pg *pg;
	const struct authority *authority;
	const struct options *options;
	const struct renew_claim *claim;
	struct renew_result *result;
	struct pg_result *device, *certificates;
	char key_sha256[SHA256_HEX_BYTES];
	size_t used; // row of the certificate in use
};

void renew_result_done(struct renew_result *result)
{
	free(result->certificate);
	memset(result, 0, sizeof(*result));
}

static bool refuse(struct attempt *attempt, enum renew_outcome outcome, const char *reason)
{
	attempt->result->outcome = outcome;
	attempt->result->reason = reason;
	return true;
}

// The functions below return false when the database or the CA failed. A refusal is a success with result->reason set.

static bool check_device(struct attempt *attempt, struct error *error)
{
	if (!PG_QUERY(attempt->pg, &attempt->device, error, sql_device, attempt->claim->device))
		return false;
	if (pg_rows(attempt->device) == 0)
		return refuse(attempt, RENEW_DENIED, "device unknown");
	if (!pg_bool(attempt->device, 0, DEVICE_ALLOWED))
		return refuse(attempt, RENEW_DENIED, "device disabled or revoked");
	const char *bound = pg_text(attempt->device, 0, DEVICE_FINGERPRINT);
	if (bound && attempt->claim->fingerprint && strcmp(bound, attempt->claim->fingerprint) != 0)
		return refuse(attempt, RENEW_DENIED, "another fingerprint");
	return true;
}

static bool find_serial(const struct pg_result *rows, const char *serial, size_t *row)
{
	serial += strspn(serial, "0");
	for (*row = 0; *row < pg_rows(rows); (*row)++) {
		if (strcmp(pg_text(rows, *row, SERIAL), serial) == 0)
			return true;
	}
	return false;
}

// The one that it has shown, else the one that its hello named, else the oldest that holds: newer ones are answers that
// it has not taken up.
static bool find_used(struct attempt *attempt, struct error *error)
{
	const char *said = pg_text(attempt->device, 0, DEVICE_CERTIFICATE);
	const char *shown = attempt->claim->serial;

	if (!PG_QUERY(attempt->pg, &attempt->certificates, error, sql_certificates, attempt->claim->device))
		return false;
	if (pg_rows(attempt->certificates) == 0)
		return refuse(attempt, RENEW_DENIED, "no certificate that holds");
	if (shown) {
		if (!find_serial(attempt->certificates, shown, &attempt->used))
			return refuse(attempt, RENEW_DENIED, "certificate revoked or unknown");
	} else if (!said || !find_serial(attempt->certificates, said, &attempt->used)) {
		attempt->used = 0;
	}
	return true;
}

// Half of its life is over, or another authority issues now. *due_s: when it will be.
static bool is_due(const struct attempt *attempt, int64_t *due_s)
{
	int64_t not_before_s = pg_int(attempt->certificates, attempt->used, NOT_BEFORE);
	int64_t not_after_s = pg_int(attempt->certificates, attempt->used, NOT_AFTER);
	const char *authority = pg_text(attempt->certificates, attempt->used, AUTHORITY);
	struct pki_certificate_info info;

	*due_s = not_before_s + (not_after_s - not_before_s) / 2;
	if (clock_wall_ms() / 1000 >= *due_s)
		return true;
	if (authority)
		return strcmp(authority, attempt->authority->info.sha256) != 0;
	return pki_certificate_info(pg_text(attempt->certificates, attempt->used, PEM), &info, NULL) &&
	       strcmp(info.issuer, attempt->authority->info.common_name) != 0;
}

// The newest certificate of this key; for the one in use only while there is no new one to be had.
static bool answer_again(struct attempt *attempt, bool due)
{
	struct renew_result *result = attempt->result;

	for (size_t row = pg_rows(attempt->certificates); row-- > 0;) {
		if (strcmp(pg_text(attempt->certificates, row, KEY_SHA256), attempt->key_sha256) != 0)
			continue;
		if (row == attempt->used && due)
			return false;
		result->outcome = RENEW_REPEATED;
		result->certificate = strdup(pg_text(attempt->certificates, row, PEM));
		result->not_after_s = pg_int(attempt->certificates, row, NOT_AFTER);
		(void)snprintf(result->serial, sizeof(result->serial), "%s",
			       pg_text(attempt->certificates, row, SERIAL));
		return true;
	}
	return false;
}

static bool check_pace(struct attempt *attempt)
{
	size_t count = pg_rows(attempt->certificates);
	int64_t age_s = pg_int(attempt->certificates, count - 1, AGE_S);

	int64_t share_s = attempt->options->device_lifetime_s / EVERY_SHARE;
	int64_t every_s = share_s < EVERY_S ? share_s : EVERY_S;

	if (pg_bool(attempt->certificates, count - 1, RENEWED) && age_s < every_s) {
		attempt->result->retry_after_s = every_s - age_s;
		return refuse(attempt, RENEW_SOON, "another one a moment ago");
	}
	if (count >= CERTIFICATES_MAX)
		return refuse(attempt, RENEW_FULL, "too many certificates that hold");
	return true;
}

static bool issue(struct attempt *attempt, struct error *error)
{
	struct renew_result *result = attempt->result;
	const struct renew_claim *claim = attempt->claim;
	struct pki_certificate_info info;
	struct error issue_error = {.kind = ERROR_NONE};
	char not_before[24];
	char not_after[24];
	const struct pki_subject subject = {
		.profile = PKI_DEVICE,
		.name = claim->device,
		.domain = attempt->options->ca_domain,
		.lifetime_s = attempt->options->device_lifetime_s,
	};

	result->certificate = pki_issue(attempt->authority->ca, claim->csr, &subject, &info, &issue_error);
	if (!result->certificate) {
		if (issue_error.kind == ERROR_INVALID)
			return refuse(attempt, RENEW_BAD_CSR, "certificate request refused");
		return error_set(error, issue_error.kind, "%s", issue_error.what);
	}
	result->outcome = RENEW_ISSUED;
	result->not_after_s = info.not_after_s;
	(void)snprintf(result->serial, sizeof(result->serial), "%s", info.serial);
	(void)snprintf(not_before, sizeof(not_before), "%lld", (long long)info.not_before_s);
	(void)snprintf(not_after, sizeof(not_after), "%lld", (long long)info.not_after_s);
	return PG_QUERY(attempt->pg, NULL, error, sql_insert, info.serial, claim->device, info.key_sha256, info.sha256,
			not_before, not_after, result->certificate, attempt->authority->info.sha256) &&
	       PG_QUERY(attempt->pg, NULL, error, sql_event, "renew", claim->device, claim->peer, claim->request_id,
			info.serial);
}

static bool decide(struct attempt *attempt, struct error *error)
{
	struct renew_result *result = attempt->result;
	int64_t due_s;

	if (!check_device(attempt, error))
		return false;
	if (!result->reason && !find_used(attempt, error))
		return false;
	if (result->reason)
		return PG_QUERY(attempt->pg, NULL, error, sql_event, "refused", attempt->claim->device,
				attempt->claim->peer, attempt->claim->request_id, result->reason);
	if (!pki_csr_key_sha256(attempt->claim->csr, attempt->key_sha256, NULL))
		return refuse(attempt, RENEW_BAD_CSR, "certificate request refused");
	bool due = is_due(attempt, &due_s);
	if (answer_again(attempt, due))
		return result->certificate || error_set(error, ERROR_FAILED, "no memory for a certificate");
	if (!due) {
		result->retry_after_s = due_s - clock_wall_ms() / 1000;
		return refuse(attempt, RENEW_EARLY, "less than half of the lifetime is over");
	}
	return check_pace(attempt) && (result->reason || issue(attempt, error));
}

static bool transact(struct attempt *attempt, struct error *error)
{
	if (!pg_ready(attempt->pg, error) || !pg_begin(attempt->pg, error))
		return false;
	bool decided = decide(attempt, error);
	pg_result_free(attempt->device);
	pg_result_free(attempt->certificates);
	enum renew_outcome outcome = attempt->result->outcome;
	if (decided && (outcome == RENEW_ISSUED || outcome == RENEW_DENIED))
		return pg_commit(attempt->pg, error);
	pg_rollback(attempt->pg);
	return decided;
}

struct renew_result renew_run(struct pg *pg, const struct authority *authority, const struct options *options,
			      const struct renew_claim *claim, struct error *error)
{
	struct renew_result result;
	struct error local = {.kind = ERROR_NONE};

	// As in enroll_run: a second try is safe, the same key gets the same certificate.
	for (int i = 0; i < 2; i++) {
		struct attempt attempt = {
			.pg = pg, .authority = authority, .options = options, .claim = claim, .result = &result};

		result = (struct renew_result){.outcome = RENEW_DENIED};
		if (transact(&attempt, &local))
			return result;
		renew_result_done(&result);
		if (local.kind != ERROR_UNREACHABLE)
			break;
	}
	if (error)
		*error = local;
	result.outcome = RENEW_FAILED;
	return result;
}
