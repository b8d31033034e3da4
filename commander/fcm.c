#include "commander/fcm.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"
#include "common/http_multi.h"
#include "common/json.h"
#include "common/jwt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCOPE "https://www.googleapis.com/auth/firebase.messaging"
#define GRANT "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
#define COLLAPSE_KEY "muster-wake" // one that waits for a device is enough, however many were sent

enum {
	CREDENTIALS_MAX_BYTES = 16384,
	ANSWER_MAX_BYTES = 65536, // an access token of Google's has some 1 kB
	TOKEN_MAX_BYTES = 8192,
	CLAIMS_MAX_BYTES = 2048,
	ASSERTION_LIFETIME_S = 3600, // the most that Google takes
	EARLY_MS = 300000,           // a token is renewed so long before its end,
	EARLY_SHARE = 10,            // or this share of its lifetime, whichever is shorter
	TTL_MAX_S = 2419200,         // FCM: four weeks
	URL_MAX_BYTES = 1024,
};

struct push {
	struct fcm *fcm;
	struct push *next, *previous;
	void *ticket;
	char *body;
	char *request_id;
	int64_t started_ms;
	uint64_t tokens; // number of the access token it was sent with
	bool waits;      // for an access token
	bool repeated;   // with a new token, after a 401
};

struct fcm {
	struct http_multi *http;
	fcm_done_fn *done;
	void *user;
	int timeout_ms;

	char *project, *email, *key_id, *token_uri;
	struct jwt_signer *signer;
	char send_url[URL_MAX_BYTES];

	char *token; // access token; NULL: none
	int64_t token_early_ms, token_end_ms; // monotonic
	bool token_asked;
	uint64_t tokens;
	struct push *pushes;
	size_t under_way;
};

static void send_push(struct push *push);
static bool ask_token(struct fcm *fcm, struct error *error);

// ---- pushes ----

static void push_free(struct push *push)
{
	struct fcm *fcm = push->fcm;
	if (push->previous)
		push->previous->next = push->next;
	else
		fcm->pushes = push->next;
	if (push->next)
		push->next->previous = push->previous;
	fcm->under_way--;
	free(push->body);
	free(push->request_id);
	free(push);
}

static void finish(struct push *push, struct fcm_outcome *outcome)
{
	struct fcm *fcm = push->fcm;
	void *ticket = push->ticket;
	outcome->latency_ms = clock_mono_ms() - push->started_ms;
	push_free(push);
	fcm->done(fcm->user, ticket, outcome);
}

static void say(struct fcm_outcome *out, enum fcm_verdict verdict, const char *status, const char *reason)
{
	out->verdict = verdict;
	(void)snprintf(out->status, sizeof(out->status), "%s", status);
	(void)snprintf(out->reason, sizeof(out->reason), "%.*s", FCM_REASON_BYTES - 1, reason);
}

static void no_answer(const struct error *error, struct fcm_outcome *out)
{
	out->retry_after_s = -1;
	say(out, FCM_FAILED, error->kind == ERROR_TIMEOUT ? "TIMEOUT" : "UNREACHABLE", error->what);
}

// ---- what an answer means ----

// The word of FCM itself among the details, else the one that all of Google's interfaces share.
static const char *find_status(const struct json *error)
{
	const struct json *details = json_member(error, "details");
	const char *word = NULL;
	for (size_t i = 0; i < json_array_length(details); i++) {
		if (json_member_string(json_array_at(details, i), "errorCode", &word))
			return word;
	}
	return json_member_string(error, "status", &word) ? word : "";
}

static enum fcm_verdict verdict_of(int http_status, const char *status)
{
	if (http_status == 429)
		return FCM_BUSY;
	if (http_status >= 500 || http_status == 401 || http_status == 408)
		return FCM_FAILED;
	// A 404 for another reason is of the project or a wrong endpoint, and says nothing about the device.
	if (strcmp(status, "UNREGISTERED") == 0)
		return FCM_GONE;
	return FCM_REFUSED;
}

void fcm_classify(int http_status, const char *body, size_t body_bytes, struct fcm_outcome *out)
{
	struct json *json auto_json = body_bytes > 0 ? json_parse(body, body_bytes, NULL) : NULL;
	const struct json *error = json_member(json, "error");
	const char *reason = "";
	char status[FCM_STATUS_BYTES];
	*out = (struct fcm_outcome){.http_status = http_status, .retry_after_s = -1};
	if (http_status == 200) {
		say(out, FCM_TAKEN, "OK", "");
		return;
	}
	(void)snprintf(status, sizeof(status), "%s", find_status(error));
	if (status[0] == '\0')
		(void)snprintf(status, sizeof(status), "HTTP_%d", http_status);
	if (!json_member_string(error, "message", &reason))
		reason = "the answer gives no reason";
	say(out, verdict_of(http_status, status), status, reason);
}

// ---- the access token ----

// Pushes that waited go out with the new token; without one they fail, each for itself.
static void release_waiting(struct fcm *fcm, const struct fcm_outcome *failure)
{
	struct push *next;
	for (struct push *push = fcm->pushes; push; push = next) {
		next = push->next;
		if (!push->waits)
			continue;
		push->waits = false;
		if (failure) {
			struct fcm_outcome outcome = *failure;
			finish(push, &outcome);
		} else {
			send_push(push);
		}
	}
}

static void forget_token(struct fcm *fcm)
{
	crypto_secret_cleanup(&fcm->token);
	fcm->token = NULL;
}

static bool take_token(struct fcm *fcm, const struct http_answer *answer)
{
	struct json *json auto_json = json_parse(answer->body, answer->body_bytes, NULL);
	const char *token = NULL;
	int64_t lifetime_s = 0;
	if (!json_member_string(json, "access_token", &token) || !json_member_int(json, "expires_in", &lifetime_s) ||
	    lifetime_s < 1 || lifetime_s > 86400 || strlen(token) > TOKEN_MAX_BYTES ||
	    strpbrk(token, " \r\n") || token[0] == '\0')
		return false;
	char *copy = strdup(token);
	if (!copy)
		return false;
	int64_t lifetime_ms = lifetime_s * 1000;
	int64_t early_ms = lifetime_ms / EARLY_SHARE < EARLY_MS ? lifetime_ms / EARLY_SHARE : EARLY_MS;
	forget_token(fcm);
	fcm->token = copy;
	fcm->token_end_ms = clock_mono_ms() + lifetime_ms;
	fcm->token_early_ms = fcm->token_end_ms - early_ms;
	fcm->tokens++;
	return true;
}

static void on_token(void *user, const struct http_answer *answer)
{
	struct fcm *fcm = user;
	struct fcm_outcome outcome = {.http_status = answer->status, .retry_after_s = answer->retry_after_s};
	fcm->token_asked = false;
	if (answer->status == 200 && take_token(fcm, answer)) {
		release_waiting(fcm, NULL);
		return;
	}
	if (answer->status == 0)
		no_answer(&answer->error, &outcome);
	else if (answer->status == 429)
		say(&outcome, FCM_BUSY, "NO_TOKEN", "the token endpoint asks to be left alone for a while");
	else
		say(&outcome, FCM_FAILED, "NO_TOKEN",
		    answer->status == 200 ? "the token endpoint's answer holds no token" :
					    "the token endpoint refuses the service account: see that its key is still "
					    "valid, and this machine's clock");
	release_waiting(fcm, &outcome);
}

static char *make_assertion(const struct fcm *fcm, struct error *error)
{
	struct buf claims auto_buf = {0};
	long long now_s = clock_wall_ms() / 1000;
	buf_init(&claims, CLAIMS_MAX_BYTES);
	(void)buf_add_str(&claims, "{\"iss\":");
	(void)json_quote(&claims, fcm->email);
	(void)buf_add_str(&claims, ",\"scope\":\"" SCOPE "\",\"aud\":");
	(void)json_quote(&claims, fcm->token_uri);
	(void)buf_addf(&claims, ",\"iat\":%lld,\"exp\":%lld}", now_s, now_s + ASSERTION_LIFETIME_S);
	if (claims.overflowed) {
		(void)error_set(error, ERROR_LIMIT, "the service account's name or token_uri is too long");
		return NULL;
	}
	return jwt_sign(fcm->signer, fcm->key_id, buf_str(&claims), error);
}

static bool ask_token(struct fcm *fcm, struct error *error)
{
	if (fcm->token_asked)
		return true;
	auto_secret char *assertion = make_assertion(fcm, error);
	auto_secret char *body = NULL;
	if (!assertion)
		return false;
	if (asprintf(&body, "grant_type=%s&assertion=%s", GRANT, assertion) < 0) {
		body = NULL;
		return error_errno(error, ENOMEM, "cannot ask for an access token");
	}
	const struct http_call call = {
		.method = "POST",
		.url = fcm->token_uri,
		.content_type = "application/x-www-form-urlencoded",
		.body = body,
		.timeout_ms = fcm->timeout_ms,
	};
	fcm->token_asked = http_multi_start(fcm->http, &call, on_token, fcm, error);
	return fcm->token_asked;
}

// ---- sending ----

// The access token was taken back before its time; there may be a newer one already.
static bool repeat(struct push *push)
{
	struct fcm *fcm = push->fcm;
	push->repeated = true;
	if (push->tokens == fcm->tokens)
		forget_token(fcm);
	if (fcm->token) {
		send_push(push);
		return true;
	}
	push->waits = ask_token(fcm, NULL);
	return push->waits;
}

static void on_answer(void *user, const struct http_answer *answer)
{
	struct push *push = user;
	struct fcm_outcome outcome = {0};
	if (answer->status == 401 && !push->repeated && repeat(push))
		return;
	if (answer->status == 0)
		no_answer(&answer->error, &outcome);
	else
		fcm_classify(answer->status, answer->body, answer->body_bytes, &outcome);
	outcome.retry_after_s = answer->retry_after_s;
	outcome.http2 = answer->http2;
	finish(push, &outcome);
}

static bool start_push(struct push *push, struct error *error)
{
	struct fcm *fcm = push->fcm;
	const struct http_call call = {
		.method = "POST",
		.url = fcm->send_url,
		.content_type = "application/json",
		.body = push->body,
		.bearer_token = fcm->token,
		.request_id = push->request_id,
		.timeout_ms = fcm->timeout_ms,
	};
	push->tokens = fcm->tokens;
	return http_multi_start(fcm->http, &call, on_answer, push, error);
}

static void send_push(struct push *push)
{
	struct error error = {0};
	struct fcm_outcome outcome = {0};
	if (start_push(push, &error))
		return;
	no_answer(&error, &outcome);
	finish(push, &outcome);
}

static char *make_body(const struct fcm_push *push)
{
	struct json *body auto_json = json_new_object();
	struct json *message = json_new_object();
	struct json *data = json_new_object();
	struct json *android = json_new_object();
	char ttl[32];
	(void)snprintf(ttl, sizeof(ttl), "%llds", (long long)(push->ttl_s < TTL_MAX_S ? push->ttl_s : TTL_MAX_S));
	json_set_string(data, "muster", "wake");
	json_set_string(android, "priority", "HIGH");
	json_set_string(android, "collapse_key", COLLAPSE_KEY);
	json_set_string(android, "ttl", ttl);
	json_set_string(message, "token", push->token);
	json_set(message, "data", data);
	json_set(message, "android", android);
	json_set(body, "message", message);
	return strdup(json_text(body));
}

bool fcm_push(struct fcm *fcm, const struct fcm_push *asked, void *ticket, struct error *error)
{
	int64_t now_ms = clock_mono_ms();
	if (fcm->under_way >= FCM_PUSHES_MAX)
		return error_set(error, ERROR_LIMIT, "%d pushes are under way already", FCM_PUSHES_MAX);
	bool usable = fcm->token && now_ms < fcm->token_end_ms;
	if ((!usable || now_ms >= fcm->token_early_ms) && !ask_token(fcm, error) && !usable)
		return false;
	struct push *push = calloc(1, sizeof(*push));
	if (!push)
		return error_errno(error, ENOMEM, "cannot make a push");
	*push = (struct push){
		.fcm = fcm, .ticket = ticket, .started_ms = now_ms, .waits = !usable, .next = fcm->pushes};
	if (push->next)
		push->next->previous = push;
	fcm->pushes = push;
	fcm->under_way++;
	push->body = make_body(asked);
	push->request_id = asked->request_id ? strdup(asked->request_id) : NULL;
	bool ok = push->body && (!asked->request_id || push->request_id);
	if (!ok)
		(void)error_errno(error, ENOMEM, "cannot make a push");
	else if (usable)
		ok = start_push(push, error);
	if (!ok)
		push_free(push);
	return ok;
}

// ---- making ----

static bool take_text(const struct json *json, const char *name, char **out, struct error *error)
{
	const char *text = NULL;
	if (!json_member_string(json, name, &text) || text[0] == '\0' || strlen(text) > URL_MAX_BYTES / 2)
		return error_set(error, ERROR_INVALID, "\"%s\" is missing: a service account's file is wanted, as the "
				 "Google Cloud console gives it", name);
	*out = strdup(text);
	if (*out)
		return true;
	(void)error_errno(error, ENOMEM, "cannot keep \"%s\"", name);
	return false;
}

// It becomes part of a path.
static bool is_project_id(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-:.") == strlen(text);
}

static bool take_credentials(struct fcm *fcm, const char *text, struct error *error)
{
	struct json *json auto_json = json_parse(text, strlen(text), error);
	const char *type = "", *pem = NULL;
	if (!json)
		return false;
	if (!json_member_string(json, "type", &type) || strcmp(type, "service_account") != 0)
		return error_set(error, ERROR_INVALID, "\"type\" is not \"service_account\"");
	if (!take_text(json, "project_id", &fcm->project, error) ||
	    !take_text(json, "client_email", &fcm->email, error) ||
	    !take_text(json, "private_key_id", &fcm->key_id, error) ||
	    !take_text(json, "token_uri", &fcm->token_uri, error))
		return false;
	if (!fcm->project || !is_project_id(fcm->project))
		return error_set(error, ERROR_INVALID, "\"project_id\" is no project's");
	if (!json_member_string(json, "private_key", &pem))
		return error_set(error, ERROR_INVALID, "\"private_key\" is missing");
	fcm->signer = jwt_signer_parse(pem, "its private_key", error);
	return fcm->signer != NULL;
}

static bool fill(struct fcm *fcm, struct loop *loop, const struct fcm_options *options, struct error *error)
{
	const struct http_multi_options http = {
		.ca_file = options->ca_file,
		.calls_max = FCM_PUSHES_MAX + 1, // and one for a token
		.answer_max_bytes = ANSWER_MAX_BYTES,
	};
	auto_secret char *text = file_read_group_secret(options->credentials_file, CREDENTIALS_MAX_BYTES, error);
	size_t end = strlen(options->endpoint);
	if (!text)
		return false;
	if (!take_credentials(fcm, text, error))
		return error_prefix(error, "%s can't be used", options->credentials_file);
	while (end > 0 && options->endpoint[end - 1] == '/')
		end--;
	if (snprintf(fcm->send_url, sizeof(fcm->send_url), "%.*s/v1/projects/%s/messages:send", (int)end,
		     options->endpoint, fcm->project) >= (int)sizeof(fcm->send_url))
		return error_set(error, ERROR_INVALID, "the endpoint's address is too long");
	fcm->http = http_multi_new(loop, &http, error);
	return fcm->http != NULL;
}

struct fcm *fcm_new(struct loop *loop, const struct fcm_options *options, fcm_done_fn *done, void *user,
		    struct error *error)
{
	struct fcm *fcm = calloc(1, sizeof(*fcm));
	if (!fcm) {
		(void)error_errno(error, ENOMEM, "cannot make the push client");
		return NULL;
	}
	fcm->done = done;
	fcm->user = user;
	fcm->timeout_ms = options->timeout_ms;
	if (!fill(fcm, loop, options, error)) {
		fcm_free(fcm, NULL);
		return NULL;
	}
	return fcm;
}

void fcm_free(struct fcm *fcm, void (*ticket_free)(void *ticket))
{
	if (!fcm)
		return;
	http_multi_free(fcm->http);
	while (fcm->pushes) {
		if (ticket_free)
			ticket_free(fcm->pushes->ticket);
		push_free(fcm->pushes);
	}
	jwt_signer_free(fcm->signer);
	crypto_secret_cleanup(&fcm->token);
	free(fcm->project);
	free(fcm->email);
	free(fcm->key_id);
	free(fcm->token_uri);
	free(fcm);
}

size_t fcm_under_way(const struct fcm *fcm)
{
	return fcm->under_way;
}

const char *fcm_project(const struct fcm *fcm)
{
	return fcm->project;
}

struct fcm_counts fcm_counts(const struct fcm *fcm)
{
	return (struct fcm_counts){fcm->tokens, http_multi_connections(fcm->http)};
}
