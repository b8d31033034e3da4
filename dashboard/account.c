#include "dashboard/account.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/password.h"
#include "dashboard/auth.h"
#include "dashboard/factor.h"
#include "dashboard/people.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ISSUER "Muster"
#define URI_MAX 300

static const char GET_SQL[] =
	"select json_build_object('name', u.name, 'role', u.role, 'email', u.email, 'created_at', u.created_at,"
	" 'has_password', u.password_hash is not null, 'password_changed_at', u.password_changed_at,"
	" 'second_factor', u.totp_at, 'recovery_codes_left', (select count(*) from recovery_code r"
	" where r.user_name = u.name and r.used_at is null)) from user_account u where u.name = $1";
static const char HASH_SQL[] = "select password_hash from user_account where name = $1";
static const char PASSWORD_SQL[] =
	"update user_account set password_hash = $2, password_changed_at = now() where name = $1";
static const char OTHERS_SQL[] =
	"update access_token set revoked_at = now() where user_name = $1 and kind <> 'api' and revoked_at is null"
	" and token_hash <> decode($2, 'hex') returning encode(token_hash, 'hex')";
static const char NEW_SECRET_SQL[] =
	"update user_account set totp_secret = decode($2, 'hex') where name = $1 and totp_at is null returning 1";
static const char SECRET_SQL[] =
	"select encode(totp_secret, 'hex') from user_account where name = $1 and totp_at is null"
	" and totp_secret is not null";
static const char CONFIRM_SQL[] = "update user_account set totp_at = now(), totp_step = $2::bigint where name = $1";
static const char REMOVE_SQL[] = "with codes as (delete from recovery_code where user_name = $1)"
				 " update user_account set totp_at = null, totp_secret = null where name = $1";
static const char CODES_SQL[] =
	"with gone as (delete from recovery_code where user_name = $1) insert into recovery_code (user_name, code_hash)"
	" select $1, decode(hash, 'hex') from unnest($2::text[]) hash";

void account_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {auth_of(request)->user};

	if (api_query_again(user, request, &row, GET_SQL, 1, params))
		api_reply_row(request, row, "The account is gone.");
}

// What an API key must not do: whoever finds one would else keep the account.
static bool on_the_page(struct http_request *request)
{
	if (auth_of(request)->by_cookie)
		return true;
	http_reply_problem(request, 403, "An API key may not do this: log in on the page.");
	return false;
}

// Guessing here counts as guessing at the login does.
static bool may_guess(struct dashboard *dashboard, struct http_request *request)
{
	int64_t left_ms =
		lockout_remaining_ms(dashboard->lockout, LOCKOUT_ACCOUNT, auth_of(request)->user, clock_mono_ms());
	char seconds[24];

	if (left_ms == 0)
		return true;
	(void)snprintf(seconds, sizeof(seconds), "%" PRId64, (left_ms + 999) / 1000);
	http_reply_header(request, "Retry-After", seconds);
	http_reply_problem(request, 429, "Too many wrong passwords or codes: try again later.");
	return false;
}

static void guessed_wrong(struct dashboard *dashboard, struct http_request *request, const char *detail)
{
	lockout_fail(dashboard->lockout, LOCKOUT_ACCOUNT, auth_of(request)->user, clock_mono_ms());
	http_reply_problem(request, 403, detail);
}

// ---- the password ----

// Whoever has none yet, and came in by a link, needs none to choose one.
static bool old_is_right(struct dashboard *dashboard, struct http_request *request, const struct json *body)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {auth_of(request)->user};
	const char *old = "";

	if (!may_guess(dashboard, request) || !api_query_again(dashboard, request, &row, HASH_SQL, 1, params))
		return false;
	const char *hash = pg_rows(row) > 0 ? pg_text(row, 0, 0) : NULL;

	(void)json_member_string(body, "old", &old);
	if (!hash || password_verify(old, hash))
		return true;
	guessed_wrong(dashboard, request, "The present password is another one.");
	return false;
}

void account_password(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const struct auth *auth = auth_of(request);
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *ended = NULL;
	const char *fresh = "";
	struct error error = {0};

	if (!body || !on_the_page(request))
		return;
	if (!json_member_string(body, "new", &fresh) || !password_check(fresh, auth->user, &error)) {
		http_reply_problem(request, 422, error.what[0] ? error.what : "Send {\"old\":..,\"new\":..}.");
		return;
	}
	if (!old_is_right(dashboard, request, body))
		return;
	auto_free char *hash = password_hash(fresh, &error);

	if (!hash)
		http_reply_problem(request, 422, error.what);
	else if (people_begin(dashboard, request) &&
		 PEOPLE_QUERY(dashboard, request, NULL, PASSWORD_SQL, auth->user, hash) &&
		 PEOPLE_QUERY(dashboard, request, &ended, OTHERS_SQL, auth->user, auth->token_hash) &&
		 people_commit(dashboard, request, "password.change", auth->user, "{}")) {
		people_end_streams(dashboard, ended);
		http_reply(request, 204, NULL, NULL, 0);
	}
}

// ---- the second factor ----

void account_totp_begin(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = auth_of(request)->user;
	auto_pg_result struct pg_result *row = NULL;
	uint8_t secret[TOTP_SECRET_BYTES];
	char text[TOTP_TEXT_BYTES], sealed[FACTOR_SEALED_HEX_BYTES], uri[URI_MAX];
	struct error error = {0};

	if (!on_the_page(request))
		return;
	crypto_random(secret, sizeof(secret));
	totp_text(secret, text);
	if (!factor_seal(dashboard, name, secret, sealed, &error)) {
		http_reply_problem(request, 409,
				   "Second factors are off here: set admin_key_file in the dashboard's configuration.");
		return;
	}
	crypto_wipe(secret, sizeof(secret));
	if (!people_begin(dashboard, request) || !PEOPLE_QUERY(dashboard, request, &row, NEW_SECRET_SQL, name, sealed))
		return;
	if (pg_rows(row) == 0) {
		people_refuse(dashboard, request, 409, "There is a second factor already; remove it first.");
		return;
	}
	if (!people_commit(dashboard, request, "totp.begin", name, "{}"))
		return;
	struct json *answer = json_new_object();

	(void)snprintf(uri, sizeof(uri), "otpauth://totp/" ISSUER ":%s?secret=%s&issuer=" ISSUER, name, text);
	json_set_string(answer, "secret", text);
	json_set_string(answer, "uri", uri);
	http_reply_json(request, 201, answer);
	crypto_wipe(text, sizeof(text));
	crypto_wipe(uri, sizeof(uri));
}

// Makes ten codes: as JSON for whoever they are for, and the hashes as an array for the database.
static void make_codes(struct json *codes, struct buf *hashes)
{
	buf_init(hashes, (size_t)RECOVERY_CODES * (SHA256_HEX_BYTES + 1) + 2);
	for (int i = 0; i < RECOVERY_CODES; i++) {
		char code[RECOVERY_CODE_BYTES], hash[SHA256_HEX_BYTES];

		recovery_code(code);
		crypto_sha256_hex(code, strlen(code), hash);
		buf_addf(hashes, "%c%s", i == 0 ? '{' : ',', hash);
		json_append_string(codes, code);
		crypto_wipe(code, sizeof(code));
	}
	buf_add_str(hashes, "}");
}

// Whether the body's code is that of the secret which waits to be confirmed; answers otherwise.
static bool confirms(struct dashboard *dashboard, struct http_request *request, const char *code, int64_t *step)
{
	const char *const params[] = {auth_of(request)->user};
	auto_pg_result struct pg_result *row = NULL;
	uint8_t secret[TOTP_SECRET_BYTES];
	struct error error = {0};

	if (!may_guess(dashboard, request) || !api_query_again(dashboard, request, &row, SECRET_SQL, 1, params))
		return false;
	if (pg_rows(row) == 0) {
		http_reply_problem(request, 409, "No second factor waits to be confirmed: POST /api/v1/account/totp.");
		return false;
	}
	if (!factor_open(dashboard, params[0], pg_text(row, 0, 0), secret, &error)) {
		log_error("totp.sealed", "request_id", http_request_id(request), "error", error.what);
		http_reply_problem(request, 409, "The secret was sealed with another key: begin again.");
		return false;
	}
	bool right = totp_check(secret, code, clock_wall_ms() / 1000, 0, step);

	crypto_wipe(secret, sizeof(secret));
	if (!right)
		guessed_wrong(dashboard, request, "The code is wrong. Is the clock of the device with the app right?");
	return right;
}

static void reply_codes(struct dashboard *dashboard, struct http_request *request, const char *action)
{
	struct json *answer = json_new_object(), *codes = json_new_array();
	auto_buf struct buf hashes = {0};
	const char *name = auth_of(request)->user;

	make_codes(codes, &hashes);
	json_set(answer, "recovery_codes", codes);
	if (PEOPLE_QUERY(dashboard, request, NULL, CODES_SQL, name, buf_str(&hashes)) &&
	    people_commit(dashboard, request, action, name, "{}"))
		http_reply_json(request, 201, answer);
	else
		json_free(answer);
}

static bool read_code(struct http_request *request, const struct json *body, const char **code)
{
	if (json_member_string(body, "code", code))
		return true;
	http_reply_problem(request, 422, "Send {\"code\":..} with a code of the authenticator app.");
	return false;
}

void account_totp_confirm(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *code = NULL, *name = auth_of(request)->user;
	auto_json struct json *body = http_body_json(request);
	int64_t step = 0;
	char step_text[24];

	if (!body || !on_the_page(request) || !read_code(request, body, &code) ||
	    !confirms(dashboard, request, code, &step))
		return;
	(void)snprintf(step_text, sizeof(step_text), "%" PRId64, step);
	if (people_begin(dashboard, request) && PEOPLE_QUERY(dashboard, request, NULL, CONFIRM_SQL, name, step_text))
		reply_codes(dashboard, request, "totp.confirm");
}

// A code of the factor that is on; answers otherwise.
static bool proves(struct dashboard *dashboard, struct http_request *request, const struct json *body)
{
	const char *code = NULL;
	struct error error = {0};
	bool right = false;

	if (!on_the_page(request) || !read_code(request, body, &code) || !may_guess(dashboard, request))
		return false;
	if (!pg_ready(dashboard->pg, &error) ||
	    !factor_check(dashboard, auth_of(request)->user, code, true, &right, &error))
		api_reply_error(dashboard, request, &error);
	else if (!right)
		guessed_wrong(dashboard, request, "The code is wrong, or was used before.");
	return right;
}

void account_totp_remove(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *name = auth_of(request)->user;
	auto_json struct json *body = http_body_json(request);

	if (body && proves(dashboard, request, body) && people_begin(dashboard, request) &&
	    PEOPLE_QUERY(dashboard, request, NULL, REMOVE_SQL, name) &&
	    people_commit(dashboard, request, "totp.remove", name, "{}"))
		http_reply(request, 204, NULL, NULL, 0);
}

void account_recovery_codes(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);

	if (body && proves(dashboard, request, body) && people_begin(dashboard, request))
		reply_codes(dashboard, request, "totp.recovery-codes");
}
