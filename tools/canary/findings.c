#include "tools/canary/findings.h"

#include <stdio.h>
#include <stdlib.h>

static const char listen_sql[] = "listen muster_revocation";
static const char last_sql[] = "select coalesce(max(change), 0) from revocation";
static const char news_sql[] = "select change, cause from canary_news($1::bigint) order by change desc limit 1";
static const char token_sql[] = "select canary_token($1::integer, $2)";
static const char revoke_sql[] = "select canary_revoke($1::integer, $2)";
static const char since_sql[] = "select extract(epoch from clock_timestamp() - $1::timestamptz)";
static const char add_sql[] =
	"insert into revocation_proof (cell, serial, cause, requested_at, cut_s, refused, admitted, ok)"
	" values ($1::integer, $2, $3, $4::timestamptz, $5::double precision, $6::integer, $7::integer, $8::boolean)";

#define NUMBER_BYTES 32

bool findings_listen(struct pg *pg, int64_t *change, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (!pg_exec(pg, listen_sql, error))
		return false;
	if (*change >= 0)
		return true;
	if (!pg_query(pg, &rows, error, last_sql, 0, NULL))
		return false;
	*change = pg_int(rows, 0, 0);
	return true;
}

bool findings_news(struct pg *pg, int64_t *change, char cause[PROOF_CAUSE_BYTES], struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	char since[NUMBER_BYTES];

	(void)snprintf(since, sizeof(since), "%lld", (long long)*change);
	cause[0] = '\0';
	if (!PG_QUERY(pg, &rows, error, news_sql, since))
		return false;
	if (pg_rows(rows) == 0)
		return true;
	*change = pg_int(rows, 0, 0);
	(void)snprintf(cause, PROOF_CAUSE_BYTES, "%s", pg_text(rows, 0, 1));
	return true;
}

bool findings_token(struct pg *pg, long cell, const char *sha256_hex, struct error *error)
{
	char number[NUMBER_BYTES];

	(void)snprintf(number, sizeof(number), "%ld", cell);
	return PG_QUERY(pg, NULL, error, token_sql, number, sha256_hex);
}

bool findings_revoke(struct pg *pg, long cell, const char *serial, char requested_at[40], struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	char number[NUMBER_BYTES];

	(void)snprintf(number, sizeof(number), "%ld", cell);
	if (!PG_QUERY(pg, &rows, error, revoke_sql, number, serial))
		return false;
	if (!pg_text(rows, 0, 0))
		return error_set(error, ERROR_NOT_FOUND,
				 "the database knows no certificate %s of this canary that holds", serial);
	(void)snprintf(requested_at, 40, "%s", pg_text(rows, 0, 0));
	return true;
}

bool findings_seconds_since(struct pg *pg, const char *requested_at, double *out, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (!PG_QUERY(pg, &rows, error, since_sql, requested_at))
		return false;
	*out = strtod(pg_text(rows, 0, 0), NULL);
	return true;
}

bool findings_add(struct pg *pg, long cell, const struct proof *proof, struct error *error)
{
	char number[NUMBER_BYTES];
	char cut_s[NUMBER_BYTES];
	char refused[NUMBER_BYTES];
	char admitted[NUMBER_BYTES];

	(void)snprintf(number, sizeof(number), "%ld", cell);
	(void)snprintf(cut_s, sizeof(cut_s), "%.6f", proof->cut_s);
	(void)snprintf(refused, sizeof(refused), "%d", proof->refused);
	(void)snprintf(admitted, sizeof(admitted), "%d", proof->admitted);
	return PG_QUERY(pg, NULL, error, add_sql, number, proof->serial, proof->cause, proof->requested_at,
			proof->cut ? cut_s : NULL, refused, admitted, proof_holds(proof) ? "true" : "false");
}
