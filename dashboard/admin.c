#include "dashboard/admin.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/limits.h"
#include "dashboard/api.h"
#include "dashboard/ask.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INFO "muster admin key" // what the derived secrets are for
#define KEY_FILE_MAX_BYTES 256
#define LABEL_MAX 200
#define KEYS_MAX "1000"
#define KEYS 1000

#define KEY                                                                                                            \
	"json_build_object('id', k.id, 'label', k.label, 'created_by', k.created_by, 'created_at', k.created_at,"      \
	" 'last_used', k.last_used, 'revoked_at', k.revoked_at, 'revoked_by', k.revoked_by)"
static const char LIST_SQL[] = "select " KEY ", null from admin_key k order by k.created_at desc limit " KEYS_MAX;
static const char CREATE_SQL[] = "insert into admin_key (id, label, created_by) values ($1, $2, $3)";
static const char REVOKE_SQL[] = "update admin_key k set revoked_at = now(), revoked_by = $2 where k.id = $1 and "
				 "k.revoked_at is null returning " KEY;
// One row: whether the key holds, and whether this signature is new. From then on the key's tenant is all there is.
static const char TAKE_SQL[] = "select known, fresh from enter_key($1, $2)";

// ---- secrets and signatures ----

bool admin_load(struct dashboard *dashboard, struct error *error)
{
	const char *path = dashboard->config.admin_key_file;
	size_t got = 0;

	if (!path)
		return true;
	char *text auto_secret = file_read_secret(path, KEY_FILE_MAX_BYTES, error);

	if (!text)
		return false;
	dashboard->admin = crypto_base64url_decode(text, strlen(text), dashboard->admin_master,
						   sizeof(dashboard->admin_master), &got) &&
			   got == sizeof(dashboard->admin_master);
	return dashboard->admin ||
	       error_set(error, ERROR_INVALID, "%s must hold 32 bytes in base64url, 43 characters", path);
}

void admin_secret(const uint8_t master[CRYPTO_KEY_BYTES], const char *id, char out[TOKEN_TEXT_BYTES])
{
	uint8_t key[CRYPTO_KEY_BYTES];

	crypto_hkdf(master, CRYPTO_KEY_BYTES, id, strlen(id), INFO, key);
	crypto_base64url(key, sizeof(key), out);
	crypto_wipe(key, sizeof(key));
}

static bool is_hex(const char *text, size_t length)
{
	return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

const char *admin_check(const uint8_t master[CRYPTO_KEY_BYTES], const struct admin_claim *claim, int64_t now_ms,
			uint8_t signature[SHA256_BYTES])
{
	char secret[TOKEN_TEXT_BYTES], expected[SHA256_HEX_BYTES];
	auto_buf struct buf signed_text = {0};
	int64_t at_ms = 0;

	if (!claim->id || !claim->timestamp || !claim->signature)
		return "Muster-Key, Muster-Timestamp and Muster-Signature are needed";
	if (!is_hex(claim->id, ADMIN_KEY_ID_BYTES - 1) || !is_hex(claim->signature, SHA256_HEX_BYTES - 1) ||
	    !api_parse_int(claim->timestamp, &at_ms))
		return "Muster-Key is 16 hex digits, Muster-Timestamp ms since 1970, Muster-Signature 64 hex digits";
	if (at_ms < now_ms - ADMIN_WINDOW_MS || at_ms > now_ms + ADMIN_WINDOW_MS)
		return "the timestamp is more than 5 minutes from now: set the clock";
	buf_init(&signed_text, claim->body_bytes + 64);
	(void)buf_addf(&signed_text, "%s.", claim->timestamp);
	(void)buf_add(&signed_text, claim->body, claim->body_bytes);
	admin_secret(master, claim->id, secret);
	crypto_hmac_sha256(secret, strlen(secret), buf_str(&signed_text), signed_text.len_bytes, signature);
	crypto_wipe(secret, sizeof(secret));
	crypto_hex(signature, SHA256_BYTES, expected);
	return crypto_equal(expected, claim->signature, SHA256_HEX_BYTES - 1)
		       ? NULL
		       : "the signature is not that of this timestamp and body by a key that holds";
}

// ---- POST /admin/command ----

static void refuse(struct dashboard *dashboard, struct http_request *request, int status, const char *why)
{
	char detail[256];

	metric_add(metrics_counter(dashboard->metrics, "muster_admin_refused_total", NULL,
				   "Signed requests that were refused."),
		   1);
	log_warn("sec.admin.refused", "request_id", http_request_id(request), "peer", http_peer(request), "reason",
		 why);
	(void)snprintf(detail, sizeof(detail), "Refused: %s.", why);
	http_reply_problem(request, status, detail);
}

// Whether the key holds and this was not taken before; answers otherwise.
static bool take(struct dashboard *dashboard, struct http_request *request, const char *id,
		 const uint8_t signature[SHA256_BYTES])
{
	char hex[SHA256_HEX_BYTES];
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {id, hex};

	crypto_hex(signature, SHA256_BYTES, hex);
	dashboard->entered = true;
	if (!api_query(dashboard, request, &row, TAKE_SQL, 2, params))
		return false;
	if (!pg_bool(row, 0, 0))
		refuse(dashboard, request, 401,
		       "the signature is not that of this timestamp and body by a key that holds");
	else if (!pg_bool(row, 0, 1))
		refuse(dashboard, request, 409, "this request was taken before; sign a new one with a new timestamp");
	else
		return true;
	return false;
}

void admin_command(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	struct admin_claim claim = {
		.id = http_header(request, "Muster-Key"),
		.timestamp = http_header(request, "Muster-Timestamp"),
		.signature = http_header(request, "Muster-Signature"),
	};
	uint8_t signature[SHA256_BYTES];
	char name[ADMIN_KEY_ID_BYTES + 4];
	const char *why;

	if (!dashboard->admin) {
		http_reply_problem(request, 404,
				   "Signed requests are off here: set admin_key_file in the dashboard's "
				   "configuration.");
		return;
	}
	claim.body = http_body(request, &claim.body_bytes);
	why = admin_check(dashboard->admin_master, &claim, clock_wall_ms(), signature);
	if (why) {
		refuse(dashboard, request, 401, why);
		return;
	}
	if (!take(dashboard, request, claim.id, signature))
		return;
	(void)snprintf(name, sizeof(name), "key.%s", claim.id);
	const struct asker asker = {name, "admin"};
	auto_json struct json *json = http_body_json(request);

	if (json)
		ask_command(dashboard, request, &asker, json);
}

// ---- keys ----

void admin_keys_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (api_query_again(user, request, &rows, LIST_SQL, 0, NULL))
		api_reply_page(request, rows, KEYS);
}

static bool store(struct dashboard *dashboard, struct http_request *request, const char *id, const char *label)
{
	struct error error = {0};
	const char *actor = auth_of(request)->user;

	if (pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
	    PG_QUERY(dashboard->pg, NULL, &error, CREATE_SQL, id, label, actor) &&
	    api_audit(dashboard, request, actor, "admin-key.create", id, "{}", &error) &&
	    pg_commit(dashboard->pg, &error))
		return true;
	pg_rollback(dashboard->pg);
	api_reply_error(dashboard, request, &error);
	return false;
}

void admin_keys_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *json = http_body_json(request);
	uint8_t random[(ADMIN_KEY_ID_BYTES - 1) / 2];
	char id[ADMIN_KEY_ID_BYTES], secret[TOKEN_TEXT_BYTES];
	const char *label = "";

	if (!json)
		return;
	if (json_member(json, "label") && (!json_member_string(json, "label", &label) || strlen(label) > LABEL_MAX)) {
		http_reply_problem(request, 422, "\"label\" must be a text of up to 200 bytes.");
		return;
	}
	if (!dashboard->admin) {
		http_reply_problem(request, 409,
				   "Signed requests are off here: set admin_key_file in the dashboard's "
				   "configuration.");
		return;
	}
	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), id);
	if (!store(dashboard, request, id, label))
		return;
	admin_secret(dashboard->admin_master, id, secret);
	log_info("sec.admin-key.create", "key", id, "user", auth_of(request)->user, "request_id",
		 http_request_id(request));
	struct json *answer = json_new_object();

	json_set_string(answer, "id", id);
	json_set_string(answer, "secret", secret);
	json_set_string(answer, "label", label);
	http_reply_json(request, 201, answer);
	crypto_wipe(secret, sizeof(secret));
}

void admin_keys_revoke(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *id = http_param(request, "id"), *actor = auth_of(request)->user;
	auto_pg_result struct pg_result *row = NULL;
	struct error error = {0};
	bool done = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
		    PG_QUERY(dashboard->pg, &row, &error, REVOKE_SQL, id, actor);

	if (done && pg_rows(row) > 0)
		done = api_audit(dashboard, request, actor, "admin-key.revoke", id, "{}", &error) &&
		       pg_commit(dashboard->pg, &error);
	if (!done || pg_rows(row) == 0)
		pg_rollback(dashboard->pg);
	if (!done) {
		api_reply_error(dashboard, request, &error);
		return;
	}
	if (pg_rows(row) > 0)
		log_info("sec.admin-key.revoke", "key", id, "user", actor, "request_id", http_request_id(request));
	api_reply_row(request, row, "There is no key with this id that holds; GET /api/v1/admin-keys lists them.");
}
