#include "dashboard/factor.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRETS "muster totp secret" // what the derived keys are for
#define LOGINS "muster login pending"
#define PENDING_PLAIN_MAX 160
#define AGENT_MAX 256

static const char SECRET_SQL[] = "select encode(totp_secret, 'hex'), totp_step from user_account"
				 " where name = $1 and enabled and totp_at is not null";
static const char TAKE_SQL[] = "select use_totp_step($1, $2::bigint)";
static const char HAS_RECOVERY_SQL[] = "select exists (select from recovery_code where user_name = $1 and code_hash ="
				       " decode($2, 'hex') and used_at is null)";
static const char TAKE_RECOVERY_SQL[] = "select use_recovery_code($1, decode($2, 'hex'))";

static bool no_key(struct error *error)
{
	return error_set(error, ERROR_FAILED, "admin_key_file is not set: there is no key for second factors");
}

static void key_for(const struct dashboard *dashboard, const char *what, uint8_t key[CRYPTO_KEY_BYTES])
{
	crypto_hkdf(dashboard->admin_master, CRYPTO_KEY_BYTES, what, strlen(what), what, key);
}

// ---- secrets at rest ----

bool factor_seal(const struct dashboard *dashboard, const char *user, const uint8_t secret[TOTP_SECRET_BYTES],
		 char out[FACTOR_SEALED_HEX_BYTES], struct error *error)
{
	uint8_t key[CRYPTO_KEY_BYTES], sealed[FACTOR_SEALED_BYTES];

	if (!dashboard->admin)
		return no_key(error);
	key_for(dashboard, SECRETS, key);
	crypto_random(sealed, CRYPTO_NONCE_BYTES);
	bool ok = crypto_seal(key, sealed, user, strlen(user), secret, TOTP_SECRET_BYTES, sealed + CRYPTO_NONCE_BYTES,
			      error);

	crypto_wipe(key, sizeof(key));
	if (ok)
		crypto_hex(sealed, sizeof(sealed), out);
	return ok;
}

static bool from_hex(const char *hex, uint8_t out[FACTOR_SEALED_BYTES])
{
	if (strlen(hex) != FACTOR_SEALED_HEX_BYTES - 1)
		return false;
	for (size_t i = 0; i < FACTOR_SEALED_BYTES; i++) {
		const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return true;
}

bool factor_open(const struct dashboard *dashboard, const char *user, const char *sealed_hex,
		 uint8_t secret[TOTP_SECRET_BYTES], struct error *error)
{
	uint8_t key[CRYPTO_KEY_BYTES], sealed[FACTOR_SEALED_BYTES];

	if (!dashboard->admin)
		return no_key(error);
	if (!from_hex(sealed_hex, sealed))
		return error_set(error, ERROR_INVALID, "the sealed second factor of %s is damaged", user);
	key_for(dashboard, SECRETS, key);
	bool ok = crypto_open(key, sealed, user, strlen(user), sealed + CRYPTO_NONCE_BYTES,
			      sizeof(sealed) - CRYPTO_NONCE_BYTES, secret, error);

	crypto_wipe(key, sizeof(key));
	return ok || error_prefix(error, "the second factor of %s was sealed with another key file", user);
}

// ---- codes ----

static bool check_recovery(struct dashboard *dashboard, const char *user, const char *code, bool take, bool *right,
			   struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	char hash[SHA256_HEX_BYTES];

	crypto_sha256_hex(code, strlen(code), hash);
	if (!PG_QUERY(dashboard->pg, &row, error, take ? TAKE_RECOVERY_SQL : HAS_RECOVERY_SQL, user, hash))
		return false;
	*right = pg_bool(row, 0, 0);
	return true;
}

bool factor_check(struct dashboard *dashboard, const char *user, const char *code, bool take, bool *right,
		  struct error *error)
{
	auto_pg_result struct pg_result *row = NULL, *taken = NULL;
	uint8_t secret[TOTP_SECRET_BYTES] = {0};
	char recovery[RECOVERY_CODE_BYTES], step_text[24];
	int64_t step = 0;

	*right = false;
	if (recovery_normalize(code, recovery))
		return check_recovery(dashboard, user, recovery, take, right, error);
	if (!PG_QUERY(dashboard->pg, &row, error, SECRET_SQL, user))
		return false;
	if (pg_rows(row) > 0 && !factor_open(dashboard, user, pg_text(row, 0, 0), secret, error))
		return false;
	// Computed for nobody too, so that time tells nothing.
	bool fits = totp_check(secret, code, clock_wall_ms() / 1000, pg_rows(row) > 0 ? pg_int(row, 0, 1) : 0, &step) &&
		    pg_rows(row) > 0;

	crypto_wipe(secret, sizeof(secret));
	*right = fits;
	if (!fits || !take)
		return true;
	(void)snprintf(step_text, sizeof(step_text), "%" PRId64, step);
	if (!PG_QUERY(dashboard->pg, &taken, error, TAKE_SQL, user, step_text))
		return false;
	*right = pg_bool(taken, 0, 0);
	return true;
}

// ---- between the two steps ----

static void browser_of(const struct http_request *request, char out[AGENT_MAX])
{
	const char *agent = http_header(request, "User-Agent");

	(void)snprintf(out, AGENT_MAX, "%s %s", http_peer(request), agent ? agent : "");
}

bool pending_seal(const struct dashboard *dashboard, const struct http_request *request, const struct pending *pending,
		  char out[PENDING_TEXT_MAX], struct error *error)
{
	char plain[PENDING_PLAIN_MAX], browser[AGENT_MAX];
	uint8_t key[CRYPTO_KEY_BYTES], sealed[CRYPTO_NONCE_BYTES + PENDING_PLAIN_MAX + CRYPTO_TAG_BYTES];

	if (!dashboard->admin)
		return no_key(error);
	memset(plain, 0, sizeof(plain)); // of one length, whatever is in it
	(void)snprintf(plain, sizeof(plain), "%" PRId64 " %d %d %s %s", pending->until_ms, pending->right,
		       pending->by_link, pending->mark[0] ? pending->mark : "-", pending->user);
	browser_of(request, browser);
	key_for(dashboard, LOGINS, key);
	crypto_random(sealed, CRYPTO_NONCE_BYTES);
	bool ok = crypto_seal(key, sealed, browser, strlen(browser), plain, sizeof(plain), sealed + CRYPTO_NONCE_BYTES,
			      error);

	crypto_wipe(key, sizeof(key));
	_Static_assert(sizeof(sealed) * 4 / 3 + 2 < PENDING_TEXT_MAX, "it fits");
	if (ok)
		crypto_base64url(sealed, sizeof(sealed), out);
	return ok;
}

static bool read_pending(const char *plain, struct pending *out)
{
	int right = 0, by_link = 0;

	// NOLINTNEXTLINE(cert-err34-c): it was written by pending_seal
	if (sscanf(plain, "%" SCNd64 " %d %d %16s %63s", &out->until_ms, &right, &by_link, out->mark, out->user) != 5)
		return false;
	out->right = right != 0;
	out->by_link = by_link != 0;
	if (strcmp(out->mark, "-") == 0)
		out->mark[0] = '\0';
	return out->until_ms > clock_wall_ms();
}

bool pending_open(const struct dashboard *dashboard, const struct http_request *request, const char *text,
		  struct pending *out)
{
	char plain[PENDING_PLAIN_MAX], browser[AGENT_MAX];
	uint8_t key[CRYPTO_KEY_BYTES], sealed[CRYPTO_NONCE_BYTES + PENDING_PLAIN_MAX + CRYPTO_TAG_BYTES];
	size_t got = 0;

	if (!dashboard->admin || !crypto_base64url_decode(text, strlen(text), sealed, sizeof(sealed), &got) ||
	    got != sizeof(sealed))
		return false;
	browser_of(request, browser);
	key_for(dashboard, LOGINS, key);
	bool ok = crypto_open(key, sealed, browser, strlen(browser), sealed + CRYPTO_NONCE_BYTES,
			      sizeof(sealed) - CRYPTO_NONCE_BYTES, (uint8_t *)plain, NULL);

	crypto_wipe(key, sizeof(key));
	return ok && memchr(plain, '\0', sizeof(plain)) && read_pending(plain, out);
}
