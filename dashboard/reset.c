#include "dashboard/reset.h"

#include "common/clock.h"
#include "common/http_peer.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/password.h"
#include "dashboard/auth.h"
#include "dashboard/people.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHO_MAX 255
#define PEER_MAX 64
#define WAITING_MAX 64 // requests that are not looked at yet
#define LATER_MS 50    // after the answer is on its way
#define PER_HOUR 3     // of an account, and of an address
#define HOUR_MS INT64_C(3600000)

static const char ASK_SQL[] = "select request_password_reset($1, decode($2, 'hex'), $3, $4, $5)";
static const char WHOSE_SQL[] = "select password_reset_user(decode($1, 'hex'))";
static const char FINISH_SQL[] = "select finish_password_reset(decode($1, 'hex'), $2, $3, $4)";

struct waiting {
	char who[WHO_MAX + 1], peer[PEER_MAX], request_id[REQUEST_ID_MAX + 1];
};

struct resets {
	struct dashboard *dashboard;
	struct loop_timer *timer;
	struct waiting waiting[WAITING_MAX];
	size_t count;
};

// ---- afterwards ----

static void send(struct dashboard *dashboard, const struct waiting *one)
{
	char token[TOKEN_TEXT_BYTES], hash[SHA256_HEX_BYTES], link[PEOPLE_LINK_MAX];
	auto_pg_result struct pg_result *row = NULL;
	struct error error = {0};

	crypto_random_token(token);
	crypto_sha256_hex(token, strlen(token), hash);
	people_link(dashboard, NULL, "/reset", token, link);
	crypto_wipe(token, sizeof(token));
	if (!pg_ready(dashboard->pg, &error) ||
	    !PG_QUERY(dashboard->pg, &row, &error, ASK_SQL, one->who, hash, one->peer, one->request_id, link))
		log_error("password-reset.failed", "request_id", one->request_id, "error", error.what);
	else
		log_info("password-reset.request", "request_id", one->request_id, "peer", one->peer, "result",
			 pg_text(row, 0, 0));
	crypto_wipe(link, sizeof(link));
}

static void on_timer(void *user)
{
	struct resets *resets = user;

	for (size_t i = 0; i < resets->count; i++)
		send(resets->dashboard, &resets->waiting[i]);
	resets->count = 0;
}

struct resets *resets_new(struct dashboard *dashboard, struct error *error)
{
	struct resets *resets = calloc(1, sizeof(*resets));

	if (!resets) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	resets->dashboard = dashboard;
	resets->timer = loop_timer_new(dashboard->loop, on_timer, resets, error);
	if (!resets->timer) {
		resets_free(resets);
		return NULL;
	}
	return resets;
}

void resets_free(struct resets *resets)
{
	if (!resets)
		return;
	on_timer(resets); // what was answered is done, also when the program stops at once
	loop_timer_free(resets->timer);
	free(resets);
}

// ---- asking ----

static bool may_ask(struct dashboard *dashboard, struct http_request *request, const char *who)
{
	static const struct throttle_rate rate = {PER_HOUR, HOUR_MS, PER_HOUR};
	char address[HTTP_PEER_BYTES], key[WHO_MAX + 16], seconds[24];
	struct throttle_state by_who, by_address;

	http_peer_network(http_peer(request), address);
	(void)snprintf(key, sizeof(key), "reset:%s", address);
	bool good = throttle_take(dashboard->throttle, key, &rate, clock_mono_ms(), &by_address);

	(void)snprintf(key, sizeof(key), "reset:@%s", who);
	if (!throttle_take(dashboard->throttle, key, &rate, clock_mono_ms(), &by_who) || !good) {
		int64_t wait_ms = by_who.retry_ms > by_address.retry_ms ? by_who.retry_ms : by_address.retry_ms;

		(void)snprintf(seconds, sizeof(seconds), "%" PRId64, (wait_ms + 999) / 1000);
		http_reply_header(request, "Retry-After", seconds);
		http_reply_problem(request, 429,
				   "Three links an hour are enough: look into the mailbox, or ask an "
				   "administrator for a login link.");
		return false;
	}
	return true;
}

static bool is_on(const struct dashboard *dashboard, struct http_request *request)
{
	if (dashboard->config.public_url)
		return true;
	http_reply_problem(request, 409,
			   "No links are sent by e-mail here (public_url is not set): ask an administrator "
			   "for a login link.");
	return false;
}

void reset_ask(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	struct resets *resets = dashboard->resets;
	const char *name = "";

	if (!auth_check_origin(request, true))
		return;
	auto_json struct json *body = http_body_json(request);

	if (!body || !is_on(dashboard, request))
		return;
	if (!json_member_string(body, "name", &name) || !*name || strlen(name) > WHO_MAX) {
		http_reply_problem(request, 422, "Send {\"name\":..}, the name of the account or its e-mail address.");
		return;
	}
	if (resets->count == WAITING_MAX) {
		http_reply_header(request, "Retry-After", "5");
		http_reply_problem(request, 503, "Too many ask for this just now: try again in a few seconds.");
		return;
	}
	struct waiting *one = &resets->waiting[resets->count];

	for (size_t i = 0; i <= strlen(name); i++)
		one->who[i] = (char)tolower((unsigned char)name[i]);
	if (!may_ask(dashboard, request, one->who))
		return;
	(void)snprintf(one->peer, sizeof(one->peer), "%s", http_peer(request));
	(void)snprintf(one->request_id, sizeof(one->request_id), "%s", http_request_id(request));
	resets->count++;
	loop_timer_once(resets->timer, LATER_MS);
	dashboard->audited = request; // what comes of it is, when it is done
	api_reply_text(request, 202, "{\"sent\":\"if there is such an account with an e-mail address\"}");
}

// ---- the link ----

static void used_up(struct http_request *request)
{
	http_reply_problem(request, 401, "This link is used up, or older than half an hour: ask for another.");
}

static bool may_choose(struct dashboard *dashboard, struct http_request *request, const char *hash,
		       const char *password)
{
	auto_pg_result struct pg_result *whose = NULL;
	const char *const params[] = {hash};
	struct error error = {0};

	if (!api_query_again(dashboard, request, &whose, WHOSE_SQL, 1, params))
		return false;
	if (!pg_text(whose, 0, 0)) {
		used_up(request);
		return false;
	}
	if (password_check(password, pg_text(whose, 0, 0), &error))
		return true;
	http_reply_problem(request, 422, error.what);
	return false;
}

void reset_finish(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *token = "", *password = "";
	char hash[SHA256_HEX_BYTES];
	struct error error = {0};

	if (!auth_check_origin(request, true))
		return;
	auto_json struct json *body = http_body_json(request);

	if (!body)
		return;
	if (!json_member_string(body, "token", &token) || !json_member_string(body, "password", &password)) {
		http_reply_problem(request, 422, "Send {\"token\":..,\"password\":..}.");
		return;
	}
	crypto_sha256_hex(token, strlen(token), hash);
	if (!may_choose(dashboard, request, hash, password))
		return;
	auto_free char *yescrypt = password_hash(password, &error);
	auto_pg_result struct pg_result *ended = NULL;
	const char *const params[] = {hash, yescrypt, http_peer(request), http_request_id(request)};

	if (!yescrypt) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	if (!api_query(dashboard, request, &ended, FINISH_SQL, 4, params))
		return;
	if (pg_rows(ended) == 0) {
		used_up(request);
		return;
	}
	dashboard->audited = request; // by the database
	people_end_streams(dashboard, ended);
	http_reply(request, 204, NULL, NULL, 0);
}
