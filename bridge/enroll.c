#include "bridge/enroll.h"

#include "common/clock.h"
#include "common/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_TRIES 4 // 48 random bits collide next to never; a few tries make it never

static const char sql_token[] =
	"select id, device, tags, uses_left > 0, expires_at <= clock_timestamp(), revoked_at is not null, cell,"
	" tenant"
	" from enrollment_token where token_hash = decode($1, 'hex') for update";
static const char sql_same_key[] =
	"select c.pem, c.device, c.revoked_at is null and c.not_after > now() and d.enabled, d.fingerprint,"
	" d.cell"
	" from certificate c join device d on d.device = c.device where c.key_sha256 = $2"
	" and (c.token_id = $1 or ($1 is null and c.device = $3)) order by c.created_at desc limit 1";
static const char sql_take_free[] =
	"insert into device (device, tags, fingerprint, enrolled_at, cell, tenant)"
	" values ($1, $2::text[], $3, now(), $4::integer, $5) on conflict (device) do nothing";
// Of our cells the one with the fewest devices.
static const char sql_least_loaded[] =
	"select c.cell from unnest($1::integer[]) c (cell) left join device d on d.cell = c.cell and d.enabled"
	" group by c.cell order by count(d.device), c.cell limit 1";
static const char sql_current[] = "select cell from device where device = $1";
// The token names the device: an administrator wants it (again), so it may exist, with other hardware, and may be
// revoked. A device of another tenant is none of the administrator's.
static const char sql_take_bound[] =
	"insert into device as d (device, tags, fingerprint, enrolled_at, cell, tenant)"
	" values ($1, $2::text[], $3, now(), $4::integer, $5)"
	" on conflict (device) do update set enrolled_at = now(), cell = excluded.cell,"
	" fingerprint = coalesce(excluded.fingerprint, d.fingerprint),"
	" tags = coalesce((select array_agg(distinct tag) from unnest(d.tags || excluded.tags) tag), '{}')"
	" where d.tenant = excluded.tenant";
static const char sql_revoke[] = "select reenroll_device($1, 'enrolment', $2)";
static const char sql_certificate[] =
	"insert into certificate (serial, device, token_id, key_sha256, sha256, not_before, not_after, pem, authority)"
	" values ($1, $2, $3, $4, $5, to_timestamp($6::bigint), to_timestamp($7::bigint), $8, $9)";
static const char sql_bearer[] =
	"insert into bearer (token_hash, device, expires_at)"
	" values (decode($1, 'hex'), $2, now() + make_interval(days => $3::integer))"
	" returning extract(epoch from expires_at)::bigint";
static const char sql_same_secret[] =
	"select b.device, b.revoked_at is null and b.expires_at > now() and d.enabled, d.fingerprint,"
	" extract(epoch from b.expires_at)::bigint"
	" from bearer b join device d on d.device = b.device where b.token_hash = decode($1, 'hex')";
static const char sql_consume[] =
	"update enrollment_token set uses_left = uses_left - 1 where token_hash = decode($1, 'hex')";
static const char sql_event[] =
	"insert into enrollment_event (type, token_id, device, peer, request_id, reason)"
	" values ($1, nullif($2, ''), nullif($3, ''), $4, $5, $6)";
static const char sql_expire[] = "select expire_enrollment_tokens()";
// RFC 8037: x is base64url without padding.
static const char sql_keys[] =
	"select kid, rtrim(translate(encode(public_key, 'base64'), '+/', '-_'), '=')"
	" from signing_key where retired_at is null order by created_at, kid";
// What was signed before, and is not open any more, is not for whoever is enrolled now.
static const char sql_signers[] =
	"select (select coalesce(max(version), 0) from signer_set), coalesce((select coalesce((select min(n) - 1 from "
	"command"
	" where device = d.device and state in ('sent', 'accepted', 'running')), d.command_counter) from device d"
	" where d.device = $1), 0)";

// What one transaction knows as it goes.
struct attempt {
	struct enroll *enroll;
	const struct enroll_claim *claim;
	const struct enroll_grant *grant;
	struct enroll_result *result;
};

enum token_column {
	TOKEN_ID,
	TOKEN_DEVICE,
	TOKEN_TAGS,
	TOKEN_USABLE,
	TOKEN_TIMED_OUT,
	TOKEN_REVOKED,
	TOKEN_CELL,
	TOKEN_TENANT
};

void enroll_result_done(struct enroll_result *result)
{
	free(result->certificate);
	json_free(result->command_keys);
	memset(result, 0, sizeof(*result));
}

void enroll_make_id(char out[DEVICE_ID_MAX + 1])
{
	uint8_t random[6];

	crypto_random(random, sizeof(random));
	out[0] = 'd';
	out[1] = '-';
	crypto_hex(random, sizeof(random), out + 2);
}

static bool refuse(struct enroll_result *result, enum enroll_outcome outcome, const char *event, const char *reason)
{
	result->outcome = outcome;
	result->event = event;
	result->reason = reason;
	return true;
}

static bool deny(struct enroll_result *result, const char *reason)
{
	return refuse(result, ENROLL_DENIED, "refused", reason);
}

// The functions below return false when the database failed. A refusal is a success with result->event set.

static bool read_keys(struct attempt *attempt, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;

	auto_pg_result struct pg_result *version = NULL;

	if (!PG_QUERY(attempt->enroll->pg, &version, error, sql_signers, attempt->result->device) ||
	    !pg_query(attempt->enroll->pg, &rows, error, sql_keys, 0, NULL))
		return false;
	attempt->result->signers = pg_int(version, 0, 0);
	attempt->result->command_counter = pg_int(version, 0, 1);
	struct json *keys = json_new_array();
	for (size_t i = 0; i < pg_rows(rows); i++) {
		struct json *key = json_new_object();

		json_set_string(key, "kty", "OKP");
		json_set_string(key, "crv", "Ed25519");
		json_set_string(key, "kid", pg_text(rows, i, 0));
		json_set_string(key, "x", pg_text(rows, i, 1));
		json_append(keys, key);
	}
	json_free(attempt->result->command_keys);
	attempt->result->command_keys = keys;
	return true;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool enroll_again(struct enroll *enroll, const struct enroll_claim *claim, const struct enroll_grant *grant,
		  const char *key_sha256, struct enroll_result *result, bool *found, struct error *error)
{
	struct attempt attempt = {.enroll = enroll, .claim = claim, .grant = grant, .result = result};
	auto_pg_result struct pg_result *rows = NULL;
	struct pki_certificate_info info;

	*found = false;
	if (!PG_QUERY(enroll->pg, &rows, error, sql_same_key, grant->token_id, key_sha256, grant->device))
		return false;
	if (pg_rows(rows) == 0)
		return true;
	*found = true;
	const char *bound = pg_text(rows, 0, 3);
	const char *told = claim->fingerprint;
	(void)snprintf(result->device, sizeof(result->device), "%s", pg_text(rows, 0, 1));
	if (!pg_bool(rows, 0, 2))
		return deny(result, "certificate revoked or expired, or device disabled");
	if (bound && told && !same_text(bound, told))
		return deny(result, "another fingerprint");
	result->cell = cells_find(enroll->cells, pg_int(rows, 0, 4));
	if (!result->cell)
		return deny(result, "the device's cell is not one of this bridge's");
	if (!pki_certificate_info(pg_text(rows, 0, 0), &info, error))
		return false;
	result->certificate = strdup(pg_text(rows, 0, 0));
	if (!result->certificate)
		return error_set(error, ERROR_FAILED, "no memory for a certificate");
	result->not_after_s = info.not_after_s;
	result->outcome = ENROLL_REPEATED;
	return read_keys(&attempt, error);
}

static bool take(struct attempt *attempt, const char *sql, bool *taken, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	char cell[16];

	(void)snprintf(cell, sizeof(cell), "%d", (int)attempt->result->cell->id);
	if (!PG_QUERY(attempt->enroll->pg, &rows, error, sql, attempt->result->device,
		      attempt->grant->tags, attempt->claim->fingerprint, cell, attempt->grant->tenant))
		return false;
	*taken = pg_affected(rows) == 1;
	return true;
}

// The cell of the grant, else the one that the device named by it has, else the least loaded.
static bool choose_cell(struct attempt *attempt, struct error *error)
{
	const struct cells *cells = attempt->enroll->cells;
	struct enroll_result *result = attempt->result;
	auto_pg_result struct pg_result *current = NULL;
	auto_pg_result struct pg_result *least = NULL;
	const char *bound = attempt->grant->device;

	if (attempt->grant->cell) {
		result->cell = cells_find(cells, strtol(attempt->grant->cell, NULL, 10));
		return result->cell || deny(result, "the cell given is not one of this bridge's");
	}
	if (bound) {
		if (!PG_QUERY(attempt->enroll->pg, &current, error, sql_current, bound))
			return false;
		if (pg_rows(current) > 0)
			result->cell = cells_find(cells, pg_int(current, 0, 0));
	}
	if (!result->cell && cells->count == 1)
		result->cell = &cells->cells[0];
	if (result->cell)
		return true;
	if (!PG_QUERY(attempt->enroll->pg, &least, error, sql_least_loaded, cells->ids))
		return false;
	result->cell = cells_find(cells, pg_int(least, 0, 0));
	return result->cell || error_set(error, ERROR_FAILED, "no cell was found");
}

// Puts the device's row in place, under the id that the grant, the device or chance gives it.
static bool take_device(struct attempt *attempt, struct error *error)
{
	struct enroll_result *result = attempt->result;
	const char *bound = attempt->grant->device;
	const char *wish = attempt->claim->device;
	bool replaces = bound && attempt->grant->replaces;
	bool taken = false;

	if (bound || wish) {
		(void)snprintf(result->device, sizeof(result->device), "%s", bound ? bound : wish);
		if (!take(attempt, replaces ? sql_take_bound : sql_take_free, &taken, error))
			return false;
		return taken || refuse(result, ENROLL_TAKEN, "refused", "device id taken");
	}
	for (int i = 0; i < ID_TRIES && !taken; i++) {
		enroll_make_id(result->device);
		if (!take(attempt, sql_take_free, &taken, error))
			return false;
	}
	return taken || error_set(error, ERROR_FAILED, "no free device id after %d tries", ID_TRIES);
}

static bool write_certificate(struct attempt *attempt, const struct pki_certificate_info *info, struct error *error)
{
	struct enroll_result *result = attempt->result;
	char not_before[24];
	char not_after[24];
	struct pki_certificate_info ca;

	if (!pki_ca_info(attempt->enroll->ca, &ca, error))
		return false;
	(void)snprintf(not_before, sizeof(not_before), "%lld", (long long)info->not_before_s);
	(void)snprintf(not_after, sizeof(not_after), "%lld", (long long)info->not_after_s);
	return PG_QUERY(attempt->enroll->pg, NULL, error, sql_certificate, info->serial, result->device,
			attempt->grant->token_id, info->key_sha256, info->sha256, not_before, not_after,
			result->certificate, ca.sha256);
}

// What the device brought makes the credential, so that asking again gets it again although only its hash is kept; the
// token is in it, so that the same secret elsewhere gets another.
static void make_credential(const struct enroll_claim *claim, char out[TOKEN_TEXT_BYTES])
{
	uint8_t secret[TOKEN_BYTES];
	uint8_t key[CRYPTO_KEY_BYTES];
	size_t bytes = 0;

	if (!claim->secret ||
	    !crypto_base64url_decode(claim->secret, strlen(claim->secret), secret, sizeof(secret), &bytes)) {
		crypto_random_token(out);
		return;
	}
	crypto_hkdf(secret, bytes, claim->token, strlen(claim->token), "muster bearer credential 1", key);
	crypto_base64url(key, sizeof(key), out);
	crypto_wipe(secret, sizeof(secret));
	crypto_wipe(key, sizeof(key));
}

// As enroll_again, by the secret.
static bool find_credential(struct attempt *attempt, bool *found, struct error *error)
{
	struct enroll_result *result = attempt->result;
	const struct enroll_claim *claim = attempt->claim;
	auto_pg_result struct pg_result *rows = NULL;
	char sha256[SHA256_HEX_BYTES];

	make_credential(claim, result->credential);
	crypto_sha256_hex(result->credential, strlen(result->credential), sha256);
	if (!PG_QUERY(attempt->enroll->pg, &rows, error, sql_same_secret, sha256))
		return false;
	*found = pg_rows(rows) == 1;
	if (!*found)
		return true;
	const char *bound = pg_text(rows, 0, 2);
	(void)snprintf(result->device, sizeof(result->device), "%s", pg_text(rows, 0, 0));
	result->not_after_s = pg_int(rows, 0, 3);
	if (!pg_bool(rows, 0, 1))
		return deny(result, "credential revoked or expired, or device disabled");
	if (bound && claim->fingerprint && !same_text(bound, claim->fingerprint))
		return deny(result, "another fingerprint");
	result->outcome = ENROLL_REPEATED;
	return read_keys(attempt, error);
}

static bool issue_credential(struct attempt *attempt, struct error *error)
{
	struct enroll_result *result = attempt->result;
	auto_pg_result struct pg_result *rows = NULL;
	char sha256[SHA256_HEX_BYTES];
	char days[24];

	make_credential(attempt->claim, result->credential);
	crypto_sha256_hex(result->credential, strlen(result->credential), sha256);
	(void)snprintf(days, sizeof(days), "%ld", attempt->enroll->options->credential_days);
	if (!PG_QUERY(attempt->enroll->pg, &rows, error, sql_bearer, sha256, result->device, days))
		return false;
	result->not_after_s = pg_int(rows, 0, 0);
	return true;
}

static bool issue_certificate(struct attempt *attempt, struct error *error)
{
	const struct options *options = attempt->enroll->options;
	struct enroll_result *result = attempt->result;
	struct pki_certificate_info info;
	struct error issue_error = {.kind = ERROR_NONE};
	const struct pki_subject subject = {
		.profile = PKI_DEVICE,
		.name = result->device,
		.domain = options->ca_domain,
		.lifetime_s = options->device_lifetime_s,
	};

	result->certificate = pki_issue(attempt->enroll->ca, attempt->claim->csr, &subject, &info, &issue_error);
	if (!result->certificate) {
		if (issue_error.kind == ERROR_INVALID)
			return refuse(result, ENROLL_BAD_CSR, "refused", "certificate request refused");
		return error_set(error, issue_error.kind, "%s", issue_error.what);
	}
	result->not_after_s = info.not_after_s;
	return write_certificate(attempt, &info, error);
}

// Whatever the device had before does not hold any more.
static bool issue(struct attempt *attempt, struct error *error)
{
	struct enroll_result *result = attempt->result;
	auto_pg_result struct pg_result *revoked = NULL;

	if (!PG_QUERY(attempt->enroll->pg, &revoked, error, sql_revoke, result->device, attempt->claim->request_id))
		return false;
	result->revoked = (size_t)pg_int(revoked, 0, 0);
	if (!(attempt->claim->csr ? issue_certificate(attempt, error) : issue_credential(attempt, error)))
		return false;
	if (result->event)
		return true;
	result->outcome = ENROLL_ISSUED;
	return read_keys(attempt, error);
}

bool enroll_admit(struct enroll *enroll, const struct enroll_claim *claim, const struct enroll_grant *grant,
		  struct enroll_result *result, struct error *error)
{
	struct attempt attempt = {.enroll = enroll, .claim = claim, .grant = grant, .result = result};

	if (!choose_cell(&attempt, error))
		return false;
	if (result->event)
		return true;
	if (!take_device(&attempt, error))
		return false;
	return result->event || issue(&attempt, error);
}

static bool consume(struct enroll *enroll, const struct enroll_claim *claim, const char *token_sha256,
		    const struct enroll_result *result, struct error *error)
{
	return PG_QUERY(enroll->pg, NULL, error, sql_consume, token_sha256) &&
	       PG_QUERY(enroll->pg, NULL, error, sql_event, "consume", result->token_id, result->device, claim->peer,
			claim->request_id, result->revoked ? "re-enrolment" : "");
}

// Whether the key, or the secret, of this claim has used the token already.
static bool find_again(struct enroll *enroll, const struct enroll_claim *claim, const struct enroll_grant *grant,
		       struct enroll_result *result, bool *found, struct error *error)
{
	struct attempt attempt = {.enroll = enroll, .claim = claim, .grant = grant, .result = result};
	char key_sha256[SHA256_HEX_BYTES];

	if (!claim->csr)
		return !claim->secret || find_credential(&attempt, found, error);
	if (!pki_csr_key_sha256(claim->csr, key_sha256, NULL))
		return refuse(result, ENROLL_BAD_CSR, "refused", "certificate request refused");
	return enroll_again(enroll, claim, grant, key_sha256, result, found, error);
}

// A token that is used up or expired still answers whom it let in: the first answer may be lost.
static bool decide(struct enroll *enroll, const struct enroll_claim *claim, struct enroll_result *result,
		   struct error *error)
{
	auto_pg_result struct pg_result *token = NULL;
	char token_sha256[SHA256_HEX_BYTES];
	bool found = false;

	crypto_sha256_hex(claim->token, strlen(claim->token), token_sha256);
	if (!PG_QUERY(enroll->pg, &token, error, sql_token, token_sha256))
		return false;
	if (pg_rows(token) == 0)
		return deny(result, "token unknown");
	(void)snprintf(result->token_id, sizeof(result->token_id), "%s", pg_text(token, 0, TOKEN_ID));
	const struct enroll_grant grant = {
		.token_id = result->token_id,
		.device = pg_text(token, 0, TOKEN_DEVICE),
		.replaces = true,
		.tags = pg_text(token, 0, TOKEN_TAGS),
		.cell = pg_text(token, 0, TOKEN_CELL),
		.tenant = pg_text(token, 0, TOKEN_TENANT),
	};
	if (pg_bool(token, 0, TOKEN_REVOKED))
		return deny(result, "token revoked");
	if (!find_again(enroll, claim, &grant, result, &found, error))
		return false;
	if (found || result->event)
		return true;
	if (!pg_bool(token, 0, TOKEN_USABLE))
		return deny(result, "token used up");
	if (pg_bool(token, 0, TOKEN_TIMED_OUT))
		return refuse(result, ENROLL_EXPIRED, "refused", "token expired");
	if (!enroll_admit(enroll, claim, &grant, result, error))
		return false;
	return result->event || consume(enroll, claim, token_sha256, result, error);
}

static bool transact(struct enroll *enroll, const struct enroll_claim *claim, struct enroll_result *result,
		     struct error *error)
{
	if (!pg_ready(enroll->pg, error) || !pg_begin(enroll->pg, error))
		return false;
	bool decided = decide(enroll, claim, result, error);
	if (decided && result->outcome == ENROLL_ISSUED)
		return pg_commit(enroll->pg, error);
	pg_rollback(enroll->pg);
	return decided;
}

struct enroll_result enroll_run(struct enroll *enroll, const struct enroll_claim *claim, struct error *error)
{
	struct enroll_result result;
	struct error local = {.kind = ERROR_NONE};

	// A connection that died since its last use is noticed only by using it. A second try is safe even if the
	// COMMIT of the first took place: the same key then gets the same certificate.
	for (int i = 0; i < 2; i++) {
		result = (struct enroll_result){.outcome = ENROLL_DENIED};
		if (transact(enroll, claim, &result, &local))
			return result;
		enroll_result_done(&result);
		if (local.kind != ERROR_UNREACHABLE)
			break;
	}
	if (error)
		*error = local;
	result.outcome = ENROLL_FAILED;
	return result;
}

bool enroll_expire_tokens(struct enroll *enroll, struct error *error)
{
	return pg_ready(enroll->pg, error) && pg_query(enroll->pg, NULL, error, sql_expire, 0, NULL);
}

bool enroll_record(struct enroll *enroll, const char *type, const char *token_id, const struct enroll_claim *claim,
		   const char *reason, struct error *error)
{
	return pg_ready(enroll->pg, error) &&
	       PG_QUERY(enroll->pg, NULL, error, sql_event, type, token_id, claim->device, claim->peer,
			claim->request_id, reason);
}
