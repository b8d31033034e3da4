#include "tools/account.h"

#include "tools/stack.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char sql_ensure[] = "insert into user_account (name, role) values ($1, $2) on conflict do nothing";
static const char sql_add[] = "insert into user_account (name, role, password_hash) values ($1, $2, $3)"
			      " on conflict do nothing";
static const char sql_token[] = "insert into access_token (token_hash, kind, user_name, label, expires_at)"
				" values (decode($1, 'hex'), $2, $3, $4, now() + make_interval(secs => $5::bigint))";
static const char sql_token_valid[] = "select 1 from access_token where token_hash = decode($1, 'hex') and kind = 'api'"
				      " and revoked_at is null and expires_at > now()";
static const char sql_enrollment[] =
	"select create_enrollment_token($1, $2, string_to_array($3, ','), $4::integer, $5::bigint,"
	" nullif($6::integer, 0), $7, '')";
// New rows are of the session's tenant.
static const char sql_tenant[] = "select set_config('muster.tenant', coalesce($1, ''), false)";
static const char sql_enrollment_revoke[] = "select revoke_enrollment_token($1, $2, '')";
static const char sql_audit[] = "insert into audit (actor, action, target, detail) values ($1, $2, $3, $4::jsonb)";

const char *account_actor(char out[ACCOUNT_ACTOR_BYTES])
{
	const struct passwd *user = getpwuid(getuid()); // NOLINT(concurrency-mt-unsafe): one thread
	(void)snprintf(out, ACCOUNT_ACTOR_BYTES, "cli:%s", user ? user->pw_name : "?");
	return out;
}

static void hash_hex(const char *token, char out[SHA256_HEX_BYTES])
{
	crypto_sha256_hex(token, strlen(token), out);
}

bool account_audit(struct pg *pg, const char *action, const char *target, const char *detail, struct error *error)
{
	char name[ACCOUNT_ACTOR_BYTES];
	return PG_QUERY(pg, NULL, error, sql_audit, account_actor(name), action, target, detail);
}

bool account_ensure(struct pg *pg, const char *name, const char *role, struct error *error)
{
	return PG_QUERY(pg, NULL, error, sql_ensure, name, role);
}

bool account_add(struct pg *pg, const char *name, const char *role, const char *password_hash, struct error *error)
{
	auto_pg_result struct pg_result *added = NULL;
	if (!PG_QUERY(pg, &added, error, sql_add, name, role, password_hash))
		return false;
	if (pg_affected(added) == 0)
		return error_set(error, ERROR_EXISTS, "there is a user \"%s\" already", name);
	return account_audit(pg, "user.create", name, "{}", error);
}

bool account_token_create(struct pg *pg, const char *user, const char *kind, const char *label, long lifetime_s,
			  char out[TOKEN_TEXT_BYTES], struct error *error)
{
	char token[TOKEN_TEXT_BYTES];
	char hash[SHA256_HEX_BYTES];
	char lifetime[24];
	crypto_random_token(token);
	hash_hex(token, hash);
	(void)snprintf(lifetime, sizeof(lifetime), "%ld", lifetime_s);
	if (!PG_QUERY(pg, NULL, error, sql_token, hash, kind, user, label, lifetime))
		return false;
	memcpy(out, token, sizeof(token));
	return true;
}

bool account_token_valid(struct pg *pg, const char *token, bool *valid, struct error *error)
{
	auto_pg_result struct pg_result *found = NULL;
	char hash[SHA256_HEX_BYTES];
	hash_hex(token, hash);
	if (!PG_QUERY(pg, &found, error, sql_token_valid, hash))
		return false;
	*valid = pg_rows(found) == 1;
	return true;
}

bool enrollment_create(struct pg *pg, const struct enrollment *enrollment, char token[TOKEN_TEXT_BYTES],
		       char id[ENROLLMENT_ID_BYTES], struct error *error)
{
	char made[TOKEN_TEXT_BYTES];
	char hash[SHA256_HEX_BYTES];
	auto_pg_result struct pg_result *rows = NULL;
	char uses[24];
	char lifetime[24];
	char cell[24];
	char name[ACCOUNT_ACTOR_BYTES];
	crypto_random_token(made);
	hash_hex(made, hash);
	(void)snprintf(uses, sizeof(uses), "%ld", enrollment->uses);
	(void)snprintf(lifetime, sizeof(lifetime), "%ld", enrollment->lifetime_s);
	(void)snprintf(cell, sizeof(cell), "%ld", enrollment->cell);
	if (!PG_QUERY(pg, NULL, error, sql_tenant, enrollment->tenant) ||
	    !PG_QUERY(pg, &rows, error, sql_enrollment, hash, enrollment->device, enrollment->tags, uses, lifetime,
		      cell, account_actor(name)) ||
	    !account_audit(pg, "token.create", pg_text(rows, 0, 0), "{}", error))
		return false;
	memcpy(token, made, sizeof(made));
	(void)snprintf(id, ENROLLMENT_ID_BYTES, "%s", pg_text(rows, 0, 0));
	return true;
}

bool enrollment_revoke(struct pg *pg, const char *id, struct error *error)
{
	auto_pg_result struct pg_result *revoked = NULL;
	char name[ACCOUNT_ACTOR_BYTES];
	if (!PG_QUERY(pg, &revoked, error, sql_enrollment_revoke, id, account_actor(name)))
		return false;
	if (!pg_text(revoked, 0, 0))
		return error_set(error, ERROR_NOT_FOUND,
				 "there is no enrolment token \"%s\" that is not revoked already", id);
	return account_audit(pg, "token.revoke", id, "{}", error);
}
