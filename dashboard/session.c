#include "dashboard/session.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/http_peer.h"
#include "common/json.h"
#include "common/password.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/factor.h"
#include "dashboard/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Also whether anybody at all has a second factor.
static const char ACCOUNT_SQL[] =
	"select u.password_hash, u.role, u.totp_at is not null, f.used from (select exists (select from user_account"
	" where totp_at is not null) as used) f left join user_account u on u.name = $1 and u.enabled";
enum account_column { PASSWORD_HASH, ROLE, FACTOR, FACTORS_USED };
// A link works once: the row that is taken here is no longer there for anybody else.
static const char LINK_SQL[] =
	"update access_token t set revoked_at = now(), last_used = now() from user_account u"
	" where t.token_hash = decode($1, 'hex') and t.kind = 'login' and t.revoked_at is null and t.expires_at > now()"
	" and u.name = t.user_name and u.enabled returning u.name, u.role, u.totp_at is not null, u.password_hash";
// For an account that still stands as it was when the proof was looked at: whoever chooses another password locks it
// before they end its sessions, so this one is either among those, or is not made.
static const char CREATE_SQL[] =
	"insert into access_token (token_hash, kind, user_name, label, peer, last_used, expires_at)"
	" select decode($1, 'hex'), 'session', u.name, left($3, 200), $4, now(),"
	" now() + $5::integer * interval '1 hour' from user_account u where u.name = $2 and u.enabled"
	" and left(encode(sha256(convert_to(coalesce(u.password_hash, ''), 'UTF8')), 'hex'), 16) = $6 for share"
	" returning (extract(epoch from expires_at) * 1000)::bigint";
static const char PRUNE_SQL[] = "select prune_tokens()";
static const char REVOKE_SQL[] = "update access_token set revoked_at = now() where token_hash = decode($1, 'hex')"
				 " and kind = 'session' and revoked_at is null";

#define COOKIE_ATTRIBUTES "; Secure; HttpOnly; SameSite=Strict; Path=/"

struct login {
	char user[AUTH_USER_MAX];
	enum role role;
	const char *how; // "password" or "link", with " and code" behind it
	bool factor;
	char mark[sizeof(((struct pending *)0)->mark)]; // of the password
};

static void reply_who(struct dashboard *dashboard, struct http_request *request, int status, const struct auth *auth)
{
	char expires[CLOCK_RFC3339_BYTES];
	struct json *who = json_new_object();

	clock_format_rfc3339(auth->expires_us / 1000, expires);
	json_set_string(who, "name", auth->user);
	json_set_string(who, "role", auth_role_name(auth->role));
	json_set_bool(who, "can_act", (ACCESS_ACT & (int)auth->role) != 0);
	json_set_bool(who, "second_factor", auth->second_factor);
	json_set_bool(who, "needs_second_factor",
		      dashboard->config.require_totp && auth->role == ROLE_ADMINISTRATOR && !auth->second_factor);
	json_set_string(who, "expires_at", expires);
	json_set_string(who, "version", MUSTER_VERSION);
	http_reply_json(request, status, who);
}

// True when account or address are locked; the request is answered then.
static bool locked(struct dashboard *dashboard, struct http_request *request, const char *name)
{
	int64_t now_ms = clock_mono_ms();
	char network[HTTP_PEER_BYTES], seconds[24], detail[128];

	http_peer_network(http_peer(request), network);
	int64_t account_ms = lockout_remaining_ms(dashboard->lockout, LOCKOUT_ACCOUNT, name, now_ms);
	int64_t left_ms = lockout_remaining_ms(dashboard->lockout, LOCKOUT_ADDRESS, network, now_ms);

	if (account_ms > left_ms)
		left_ms = account_ms;
	if (left_ms == 0)
		return false;
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)(left_ms + 999) / 1000);
	(void)snprintf(detail, sizeof(detail),
		       "Too many failed logins: try again in %s s, or take a one-time link "
		       "(muster login-link).",
		       seconds);
	http_reply_header(request, "Retry-After", seconds);
	http_reply_problem(request, 429, detail);
	return true;
}

static void count_failure(struct dashboard *dashboard, struct http_request *request, const char *name)
{
	int64_t now_ms = clock_mono_ms();
	char network[HTTP_PEER_BYTES];

	http_peer_network(http_peer(request), network);
	lockout_fail(dashboard->lockout, LOCKOUT_ADDRESS, network, now_ms);
	lockout_fail(dashboard->lockout, LOCKOUT_ACCOUNT, name, now_ms);
	log_warn("login.refused", "request_id", http_request_id(request), "peer", http_peer(request));
}

static void mark_of(const char *password_hash, char out[sizeof(((struct login *)0)->mark)])
{
	char hash[SHA256_HEX_BYTES];

	crypto_sha256_hex(password_hash, strlen(password_hash), hash);
	(void)snprintf(out, sizeof(((struct login *)0)->mark), "%.16s", hash);
}

// ---- the first step ----

// Asks for the code, whether the password was right or not.
static void ask_for_code(struct dashboard *dashboard, struct http_request *request, const struct login *login,
			 bool right)
{
	struct pending pending = {.right = right,
				  .by_link = strcmp(login->how, "link") == 0,
				  .until_ms = clock_wall_ms() + PENDING_LIFETIME_MS};
	char text[PENDING_TEXT_MAX];
	struct error error = {0};

	(void)snprintf(pending.user, sizeof(pending.user), "%s", login->user);
	(void)snprintf(pending.mark, sizeof(pending.mark), "%s", login->mark);
	if (!pending_seal(dashboard, request, &pending, text, &error)) {
		log_error("login.factor", "request_id", http_request_id(request), "error", error.what);
		http_reply_problem(request, 503,
				   "Second factors cannot be checked here: the dashboard's admin_key_file "
				   "is missing or another one.");
		return;
	}
	struct json *answer = json_new_object();

	dashboard->audited = request; // the second step is, or the refusal is logged
	json_set_string(answer, "pending", text);
	json_set_int(answer, "expires_in_s", PENDING_LIFETIME_MS / 1000);
	http_reply_json(request, 202, answer);
}

// Of the names that nobody has, half look like accounts with a second factor, where there are such: being asked for a
// code then tells nothing. Always the same half.
static bool is_decoy(const struct dashboard *dashboard, const char *name)
{
	uint8_t hash[SHA256_BYTES];

	crypto_hmac_sha256(dashboard->admin_master, CRYPTO_KEY_BYTES, name, strlen(name), hash);
	return (hash[0] & 1) != 0;
}

// Both check the proof and fill login; false when the request was answered.
static bool by_password(struct dashboard *dashboard, struct http_request *request, const char *name,
			const char *password, struct login *login)
{
	if (locked(dashboard, request, name))
		return false;

	auto_pg_result struct pg_result *found = NULL;
	const char *const params[] = {name};

	if (!api_query_again(dashboard, request, &found, ACCOUNT_SQL, 1, params))
		return false;
	const char *hash = pg_text(found, 0, PASSWORD_HASH), *role = pg_text(found, 0, ROLE);
	bool right = password_verify(password, hash ? hash : dashboard->nobody_hash) && hash && role &&
		     auth_role_parse(role, &login->role);

	(void)snprintf(login->user, sizeof(login->user), "%s", name);
	login->how = "password";
	login->factor =
		pg_bool(found, 0, FACTOR) || (!role && pg_bool(found, 0, FACTORS_USED) && is_decoy(dashboard, name));
	mark_of(hash ? hash : "", login->mark);
	if (!right)
		count_failure(dashboard, request, name);
	if (login->factor && strlen(name) < AUTH_USER_MAX && !strchr(name, ' ')) {
		ask_for_code(dashboard, request, login, right);
		return false;
	}
	if (!right) {
		http_reply_problem(request, 401, "Name or password is wrong.");
		return false;
	}
	lockout_forget(dashboard->lockout, LOCKOUT_ACCOUNT, name);
	return true;
}

// Without a lockout: 256 random bits cannot be guessed, and whoever is locked out gets in by such a link.
static bool by_link(struct dashboard *dashboard, struct http_request *request, const char *link, struct login *login)
{
	char hash[SHA256_HEX_BYTES];

	crypto_sha256_hex(link, strlen(link), hash);

	auto_pg_result struct pg_result *found = NULL;
	const char *const params[] = {hash};

	if (!api_query(dashboard, request, &found, LINK_SQL, 1, params))
		return false;
	if (pg_rows(found) == 0 || !auth_role_parse(pg_text(found, 0, 1), &login->role)) {
		http_reply_problem(request, 401,
				   "This link is used up, expired or unknown: muster login-link makes "
				   "a new one.");
		return false;
	}
	(void)snprintf(login->user, sizeof(login->user), "%s", pg_text(found, 0, 0));
	login->how = "link";
	login->factor = pg_bool(found, 0, 2);
	mark_of(pg_text(found, 0, 3) ? pg_text(found, 0, 3) : "", login->mark);
	if (login->factor)
		ask_for_code(dashboard, request, login, true);
	return !login->factor;
}

// ---- the second step ----

// Whether the account still stands as in the first step, and the code is right; the code is used up only then.
static bool check_second(struct dashboard *dashboard, const struct pending *pending, const char *code,
			 struct login *login, bool *right, struct error *error)
{
	auto_pg_result struct pg_result *found = NULL;
	bool fits = false;

	if (!pg_ready(dashboard->pg, error) || !PG_QUERY(dashboard->pg, &found, error, ACCOUNT_SQL, pending->user))
		return false;
	const char *hash = pg_text(found, 0, PASSWORD_HASH), *role = pg_text(found, 0, ROLE);

	mark_of(hash ? hash : "", login->mark);
	bool stands = pending->right && role && auth_role_parse(role, &login->role) && pg_bool(found, 0, FACTOR) &&
		      strcmp(login->mark, pending->mark) == 0;

	if (!factor_check(dashboard, pending->user, code, stands, &fits, error))
		return false;
	*right = stands && fits;
	return true;
}

static bool by_code(struct dashboard *dashboard, struct http_request *request, const char *text, const char *code,
		    struct login *login)
{
	struct pending pending = {0};
	struct error error = {0};
	bool right = false;

	if (!pending_open(dashboard, request, text, &pending)) {
		http_reply_problem(request, 401, "This login took too long, or began in another browser: begin again.");
		return false;
	}
	if (locked(dashboard, request, pending.user))
		return false;
	if (!check_second(dashboard, &pending, code, login, &right, &error)) {
		api_reply_error(dashboard, request, &error);
		return false;
	}
	if (!right) {
		count_failure(dashboard, request, pending.user);
		http_reply_problem(request, 401, "Name, password or code is wrong.");
		return false;
	}
	lockout_forget(dashboard->lockout, LOCKOUT_ACCOUNT, pending.user);
	(void)snprintf(login->user, sizeof(login->user), "%s", pending.user);
	login->how = pending.by_link ? "link and code" : "password and code";
	login->factor = true;
	return true;
}

// Makes the session and its audit row in one transaction. No end: the account is another one by now.
static bool store(struct dashboard *dashboard, struct http_request *request, const struct login *login,
		  const char *token_hash, int64_t *expires_ms, struct error *error)
{
	auto_pg_result struct pg_result *made = NULL;
	const char *agent = http_header(request, "User-Agent");
	char hours[24], detail[64];

	(void)snprintf(hours, sizeof(hours), "%ld", dashboard->config.session_hours);
	(void)snprintf(detail, sizeof(detail), "{\"by\":\"%s\"}", login->how);
	if (!pg_ready(dashboard->pg, error) || !pg_begin(dashboard->pg, error))
		return false;
	if (!PG_QUERY(dashboard->pg, &made, error, CREATE_SQL, token_hash, login->user, agent ? agent : "",
		      http_peer(request), hours, login->mark) ||
	    !pg_query(dashboard->pg, NULL, error, PRUNE_SQL, 0, NULL) ||
	    (pg_rows(made) > 0 && !api_audit(dashboard, request, login->user, "login", login->user, detail, error)) ||
	    !pg_commit(dashboard->pg, error)) {
		pg_rollback(dashboard->pg);
		return false;
	}
	*expires_ms = pg_rows(made) > 0 ? pg_int(made, 0, 0) : 0;
	return true;
}

static void begin(struct dashboard *dashboard, struct http_request *request, const struct login *login)
{
	char token[TOKEN_TEXT_BYTES], hash[SHA256_HEX_BYTES], cookie[256];
	struct error error = {0};
	int64_t expires_ms = 0;

	crypto_random_token(token);
	crypto_sha256_hex(token, strlen(token), hash);
	if (!store(dashboard, request, login, hash, &expires_ms, &error)) {
		api_reply_error(dashboard, request, &error);
		return;
	}
	if (expires_ms == 0) {
		http_reply_problem(request, 401, "The account has changed just now: log in again.");
		return;
	}
	(void)snprintf(cookie, sizeof(cookie), AUTH_COOKIE "=%s; Max-Age=%ld" COOKIE_ATTRIBUTES, token,
		       dashboard->config.session_hours * 3600);
	http_reply_header(request, "Set-Cookie", cookie);
	crypto_wipe(token, sizeof(token));
	crypto_wipe(cookie, sizeof(cookie));
	log_info("login.success", "user", login->user, "how", login->how, "peer", http_peer(request), "request_id",
		 http_request_id(request));
	struct auth who = {.role = login->role, .expires_us = expires_ms * 1000, .second_factor = login->factor};

	(void)snprintf(who.user, sizeof(who.user), "%s", login->user);
	reply_who(dashboard, request, 201, &who);
}

void session_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = NULL, *password = NULL, *link = NULL, *pending = NULL, *code = NULL;
	struct login login = {0};

	// Another site must not log a browser in as somebody else either.
	if (!auth_check_origin(request, true))
		return;
	auto_json struct json *body = http_body_json(request);

	if (!body)
		return;
	if (json_member_string(body, "pending", &pending) && json_member_string(body, "code", &code)) {
		if (by_code(dashboard, request, pending, code, &login))
			begin(dashboard, request, &login);
	} else if (json_member_string(body, "link", &link)) {
		if (by_link(dashboard, request, link, &login))
			begin(dashboard, request, &login);
	} else if (json_member_string(body, "name", &name) && json_member_string(body, "password", &password)) {
		if (by_password(dashboard, request, name, password, &login))
			begin(dashboard, request, &login);
	} else {
		http_reply_problem(request, 422,
				   "Send {\"name\":..,\"password\":..}, {\"link\":\"<one-time token>\"} or, "
				   "when a code is asked for, {\"pending\":..,\"code\":..}.");
	}
}

void session_get(struct http_request *request, void *user)
{
	reply_who(user, request, 200, auth_of(request));
}

void session_delete(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const struct auth *auth = auth_of(request);
	struct error error = {0};

	if (!auth->by_cookie) {
		http_reply_problem(request, 422, "An API key has no session; revoke the key itself.");
		return;
	}
	if (!pg_ready(dashboard->pg, &error) || !pg_begin(dashboard->pg, &error) ||
	    !PG_QUERY(dashboard->pg, NULL, &error, REVOKE_SQL, auth->token_hash) ||
	    !api_audit(dashboard, request, auth->user, "logout", auth->user, "{}", &error) ||
	    !pg_commit(dashboard->pg, &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
		return;
	}
	streams_end_session(dashboard->streams, auth->token_hash);
	http_reply_header(request, "Set-Cookie", AUTH_COOKIE "=; Max-Age=0" COOKIE_ATTRIBUTES);
	http_reply(request, 204, NULL, NULL, 0);
}
