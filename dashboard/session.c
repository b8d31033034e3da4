#include "dashboard/session.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/password.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ACCOUNT_SQL[] = "select password_hash, role from user_account where name = $1 and enabled";
// A link works once: the row that is taken here is no longer there for anybody else.
static const char LINK_SQL[] =
	"update access_token t set revoked_at = now(), last_used = now() from user_account u"
	" where t.token_hash = decode($1, 'hex') and t.kind = 'login' and t.revoked_at is null and t.expires_at > now()"
	" and u.name = t.user_name and u.enabled returning u.name, u.role";
static const char CREATE_SQL[] =
	"insert into access_token (token_hash, kind, user_name, label, peer, last_used, expires_at)"
	" values (decode($1, 'hex'), 'session', $2, left($3, 200), $4, now(), now() + $5::integer * interval '1 hour')"
	" returning (extract(epoch from expires_at) * 1000)::bigint";
static const char REVOKE_SQL[] = "update access_token set revoked_at = now() where token_hash = decode($1, 'hex')"
				 " and kind = 'session' and revoked_at is null";

#define COOKIE_ATTRIBUTES "; Secure; HttpOnly; SameSite=Strict; Path=/"

struct login {
	char user[AUTH_USER_MAX];
	enum role role;
	const char *how; // "password" or "link"
};

static void reply_who(struct http_request *request, int status, const char *user, enum role role, int64_t expires_ms)
{
	char expires[CLOCK_RFC3339_BYTES];
	struct json *who = json_new_object();

	clock_format_rfc3339(expires_ms, expires);
	json_set_string(who, "name", user);
	json_set_string(who, "role", auth_role_name(role));
	json_set_bool(who, "can_act", (ACCESS_ACT & (int)role) != 0);
	json_set_string(who, "expires_at", expires);
	json_set_string(who, "version", MUSTER_VERSION);
	http_reply_json(request, status, who);
}

// True when account or address are locked; the request is answered then.
static bool locked(struct dashboard *dashboard, struct http_request *request, const char *name)
{
	int64_t now_ms = clock_mono_ms();
	int64_t account_ms = lockout_remaining_ms(dashboard->lockout, LOCKOUT_ACCOUNT, name, now_ms);
	int64_t left_ms = lockout_remaining_ms(dashboard->lockout, LOCKOUT_ADDRESS, http_peer(request), now_ms);
	char seconds[24], detail[128];

	if (account_ms > left_ms)
		left_ms = account_ms;
	if (left_ms == 0)
		return false;
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)(left_ms + 999) / 1000);
	(void)snprintf(detail, sizeof(detail), "Too many failed logins: try again in %s s, or take a one-time link "
		       "(muster login-link).", seconds);
	http_reply_header(request, "Retry-After", seconds);
	http_reply_problem(request, 429, detail);
	return true;
}

static void refuse(struct dashboard *dashboard, struct http_request *request, const char *name)
{
	int64_t now_ms = clock_mono_ms();

	lockout_fail(dashboard->lockout, LOCKOUT_ADDRESS, http_peer(request), now_ms);
	lockout_fail(dashboard->lockout, LOCKOUT_ACCOUNT, name, now_ms);
	log_warn("login.refused", "request_id", http_request_id(request), "peer", http_peer(request));
	http_reply_problem(request, 401, "Name or password is wrong.");
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
	const char *hash = pg_rows(found) > 0 ? pg_text(found, 0, 0) : NULL;
	bool right = password_verify(password, hash ? hash : dashboard->nobody_hash);

	if (!right || !hash || !auth_role_parse(pg_text(found, 0, 1), &login->role)) {
		refuse(dashboard, request, name);
		return false;
	}
	lockout_forget(dashboard->lockout, LOCKOUT_ACCOUNT, name);
	(void)snprintf(login->user, sizeof(login->user), "%s", name);
	login->how = "password";
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
		http_reply_problem(request, 401, "This link is used up, expired or unknown: muster login-link makes "
						 "a new one.");
		return false;
	}
	(void)snprintf(login->user, sizeof(login->user), "%s", pg_text(found, 0, 0));
	login->how = "link";
	return true;
}

// Makes the session and its audit row in one transaction.
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
		      http_peer(request), hours) ||
	    !api_audit(dashboard, request, login->user, "login", login->user, detail, error) ||
	    !pg_commit(dashboard->pg, error)) {
		pg_rollback(dashboard->pg);
		return false;
	}
	*expires_ms = pg_int(made, 0, 0);
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
	(void)snprintf(cookie, sizeof(cookie), AUTH_COOKIE "=%s; Max-Age=%ld" COOKIE_ATTRIBUTES, token,
		       dashboard->config.session_hours * 3600);
	http_reply_header(request, "Set-Cookie", cookie);
	crypto_wipe(token, sizeof(token));
	crypto_wipe(cookie, sizeof(cookie));
	log_info("login.success", "user", login->user, "how", login->how, "peer", http_peer(request), "request_id",
		 http_request_id(request));
	reply_who(request, 201, login->user, login->role, expires_ms);
}

void session_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = NULL, *password = NULL, *link = NULL;
	struct login login = {0};

	// Another site must not log a browser in as somebody else either.
	if (!auth_check_origin(request, true))
		return;
	auto_json struct json *body = http_body_json(request);

	if (!body)
		return;
	if (json_member_string(body, "link", &link)) {
		if (by_link(dashboard, request, link, &login))
			begin(dashboard, request, &login);
	} else if (json_member_string(body, "name", &name) && json_member_string(body, "password", &password)) {
		if (by_password(dashboard, request, name, password, &login))
			begin(dashboard, request, &login);
	} else {
		http_reply_problem(request, 422, "Send {\"name\":..,\"password\":..} or "
						 "{\"link\":\"<one-time token>\"}.");
	}
}

void session_get(struct http_request *request, void *user)
{
	const struct auth *auth = auth_of(request);

	reply_who(request, 200, auth->user, auth->role, auth->expires_us / 1000);
}

void session_delete(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const struct auth *auth = auth_of(request);
	const char *const params[] = {auth->token_hash};
	struct error error = {0};

	if (!auth->by_cookie) {
		http_reply_problem(request, 422, "An API key has no session; revoke the key itself.");
		return;
	}
	if (!api_query(dashboard, request, NULL, REVOKE_SQL, 1, params))
		return;
	if (!api_audit(dashboard, request, auth->user, "logout", auth->user, "{}", &error))
		log_error("audit.failed", "request_id", http_request_id(request), "error", error.what);
	streams_end_session(dashboard->streams, auth->token_hash);
	http_reply_header(request, "Set-Cookie", AUTH_COOKIE "=; Max-Age=0" COOKIE_ATTRIBUTES);
	http_reply(request, 204, NULL, NULL, 0);
}
