#include "commander/hook.h"

#include "commander/commander.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 8
#define ANSWER_MAX_BYTES 16384
#define RETRY_MAX_S 3600
#define LEASE_SPARE_S 5
#define BREAKER_FAILURES 3

static const char expire_sql[] =
	"update alert_digest set state = 'failed', error = 'it expired' || case when error = '' then '' else"
	" ', and before: ' || error end where state = 'waiting' and expires_at <= now() and next_at <= now()";
// $1 channels whose breaker is open, $2 how many, $3 the lease.
static const char claim_sql[] =
	"with due as (select g.id from alert_digest g join alert_channel c on c.id = g.channel where g.state = "
	"'waiting'"
	" and g.next_at <= now() and c.kind = 'webhook' and c.enabled and c.id <> all ($1::bigint[]) order by g.next_at"
	" limit $2 for update of g skip locked)"
	" update alert_digest g set attempts = g.attempts + 1, next_at = now() + make_interval(secs => $3) from due,"
	" alert_channel c where g.id = due.id and c.id = g.channel"
	" returning g.id, c.id, c.url, c.secret_salt, g.body, g.attempts, c.bearer,"
	" case when c.old_until > now() then c.old_salt else '' end";
enum column { DIGEST, CHANNEL, URL, SALT, BODY, ATTEMPTS, BEARER, OLD_SALT };
static const char forget_sql[] = "update alert_channel set old_salt = '', old_until = null where old_until <= now()";
static const char sent_sql[] =
	"update alert_digest set state = 'sent', sent_at = now(), status = $2, error = '' where id = $1";
static const char refused_sql[] =
	"update alert_digest set state = 'failed', status = nullif($2::integer, 0), error = $3 where id = $1";
static const char later_sql[] = "update alert_digest set status = nullif($2::integer, 0), error = $3,"
				" next_at = now() + make_interval(secs => $4) where id = $1";

enum hook_verdict { HOOK_SENT, HOOK_REFUSED, HOOK_LATER };

struct hook_call {
	struct hook_call *next;
	struct commander *commander;
	char digest[UUID_TEXT_BYTES];
	int64_t channel, attempts;
	char *url, *body;
	char secret[TOKEN_TEXT_BYTES], old_secret[TOKEN_TEXT_BYTES]; // "": there is none that counts any more
	char sealed[WEBHOOK_SEALED_BYTES];			     // the bearer secret; "": none
	enum hook_verdict verdict;
	int status;
	int64_t wait_s;
	char error[300];
};

static void call_free(struct hook_call *call)
{
	if (!call)
		return;
	crypto_wipe(call->secret, sizeof(call->secret));
	crypto_wipe(call->old_secret, sizeof(call->old_secret));
	free(call->url);
	free(call->body);
	free(call);
}

static void free_all(struct hook_call **list)
{
	while (*list) {
		struct hook_call *call = *list;

		*list = call->next;
		call_free(call);
	}
}

static void take_out(struct hook_call **list, const struct hook_call *call)
{
	while (*list && *list != call)
		list = &(*list)->next;
	if (*list)
		*list = call->next;
}

// ---- breakers ----

static struct hook_channel *channel_of(struct commander *commander, int64_t id)
{
	struct hook_channel *channels = commander->hook.channels, *oldest = &channels[0];

	for (size_t i = 0; i < HOOK_CHANNELS_MAX; i++) {
		if (channels[i].id == id)
			return &channels[i];
		if (channels[i].used_ms < oldest->used_ms)
			oldest = &channels[i];
	}
	*oldest = (struct hook_channel){.id = id};
	breaker_init(&oldest->breaker, BREAKER_FAILURES, commander->options->webhook_breaker_open_s * 1000,
		     commander->options->webhook_breaker_open_s * 16000);
	return oldest;
}

// Those that may not be asked now, as a bigint[] literal.
static void add_paused(struct commander *commander, struct buf *out)
{
	bool first = true;

	(void)buf_add_str(out, "{");
	for (size_t i = 0; i < HOOK_CHANNELS_MAX; i++) {
		struct hook_channel *channel = &commander->hook.channels[i];

		if (channel->id == 0 || breaker_room(&channel->breaker, 1, clock_mono_ms()) > 0)
			continue;
		(void)buf_addf(out, "%s%" PRId64, first ? "" : ",", channel->id);
		first = false;
	}
	(void)buf_add_str(out, "}");
}

// ---- what came of it ----

// 410 means that nobody is there any more; everything else but 2xx may be another time.
static enum hook_verdict judge(const struct http_answer *answer)
{
	if (answer->status >= 200 && answer->status < 300)
		return HOOK_SENT;
	return answer->status == 410 ? HOOK_REFUSED : HOOK_LATER;
}

static int64_t retry_s(const struct commander *commander, const struct hook_call *call, int64_t retry_after_s)
{
	int64_t wait_s = commander->options->webhook_retry_s;

	for (int64_t i = 1; i < call->attempts && wait_s < RETRY_MAX_S; i++)
		wait_s *= 2;
	if (wait_s > RETRY_MAX_S)
		wait_s = RETRY_MAX_S;
	wait_s = (wait_s * 500 + clock_backoff_ms(0, wait_s * 500, wait_s * 500) + 999) / 1000;
	return retry_after_s > wait_s && retry_after_s <= RETRY_MAX_S ? retry_after_s : wait_s;
}

static void on_answer(void *user, const struct http_answer *answer)
{
	static const char *const labels[] = {[HOOK_SENT] = "outcome=\"sent\"",
					     [HOOK_REFUSED] = "outcome=\"refused\"",
					     [HOOK_LATER] = "outcome=\"later\""};
	struct hook_call *call = user;
	struct commander *commander = call->commander;
	struct breaker *breaker = &channel_of(commander, call->channel)->breaker;

	take_out(&commander->hook.under_way, call);
	call->verdict = judge(answer);
	call->status = answer->status;
	call->wait_s = retry_s(commander, call, answer->retry_after_s);
	if (answer->status == 0)
		(void)snprintf(call->error, sizeof(call->error), "%.290s", answer->error.what);
	else if (call->verdict != HOOK_SENT)
		(void)snprintf(call->error, sizeof(call->error), "it answered %d", answer->status);
	if (call->verdict == HOOK_LATER)
		breaker_failure(breaker, clock_mono_ms());
	else
		breaker_success(breaker);
	log_write(call->verdict == HOOK_SENT ? LOG_INFO : LOG_WARN, "webhook.send", "digest", call->digest, "channel",
		  log_number(call->channel), "attempt", log_number(call->attempts), "status", log_number(call->status),
		  "error", call->error[0] ? call->error : NULL, (const char *)NULL);
	metric_add(metrics_counter(commander->metrics, "muster_webhooks_total", labels[call->verdict],
				   "Tries to hand over a message to a webhook, by what came of them"),
		   1);
	call->next = commander->hook.ended;
	commander->hook.ended = call;
	loop_timer_once(commander->tick, 0);
}

static bool store_outcome(struct commander *commander, const struct hook_call *call, struct error *error)
{
	char status[16], wait[24];

	(void)snprintf(status, sizeof(status), "%d", call->status);
	(void)snprintf(wait, sizeof(wait), "%" PRId64, call->wait_s);
	switch (call->verdict) {
	case HOOK_SENT:
		return PG_QUERY(commander->pg, NULL, error, sent_sql, call->digest, status);
	case HOOK_REFUSED:
		return PG_QUERY(commander->pg, NULL, error, refused_sql, call->digest, status, call->error);
	case HOOK_LATER:
		break;
	}
	return PG_QUERY(commander->pg, NULL, error, later_sql, call->digest, status, call->error, wait);
}

static bool store_outcomes(struct commander *commander, struct error *error)
{
	for (const struct hook_call *call = commander->hook.ended; call; call = call->next) {
		if (!store_outcome(commander, call, error))
			return error_prefix(error, "storing what came of a webhook");
		commander->hook.look = true;
	}
	return true;
}

// ---- sending ----

static bool claim_one(struct commander *commander, const struct pg_result *rows, size_t row, struct error *error)
{
	struct hook *hook = &commander->hook;
	struct hook_call *call = calloc(1, sizeof(*call));

	if (!call)
		return error_set(error, ERROR_FAILED, "no memory for a webhook");
	call->next = hook->claimed;
	hook->claimed = call;
	call->commander = commander;
	(void)snprintf(call->digest, sizeof(call->digest), "%s", pg_text(rows, row, DIGEST));
	call->channel = pg_int(rows, row, CHANNEL);
	call->attempts = pg_int(rows, row, ATTEMPTS);
	call->url = strdup(pg_text(rows, row, URL));
	call->body = strdup(pg_text(rows, row, BODY));
	webhook_secret(&hook->key, pg_text(rows, row, SALT), call->secret);
	if (pg_text(rows, row, OLD_SALT)[0])
		webhook_secret(&hook->key, pg_text(rows, row, OLD_SALT), call->old_secret);
	(void)snprintf(call->sealed, sizeof(call->sealed), "%s", pg_text(rows, row, BEARER));
	return (call->url && call->body) || error_set(error, ERROR_FAILED, "no memory for a webhook");
}

static bool claim(struct commander *commander, struct error *error)
{
	struct hook *hook = &commander->hook;
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf paused;
	char limit[16], lease[24];
	size_t under_way = http_multi_under_way(hook->http);

	if (under_way >= CALLS_MAX)
		return true;
	buf_init(&paused, 8192);
	add_paused(commander, &paused);
	(void)snprintf(limit, sizeof(limit), "%zu", CALLS_MAX - under_way);
	(void)snprintf(lease, sizeof(lease), "%ld", commander->options->webhook_timeout_s + LEASE_SPARE_S);
	if (!PG_QUERY(commander->pg, &rows, error, claim_sql, buf_str(&paused), limit, lease))
		return error_prefix(error, "reading the webhooks that are due");
	for (size_t row = 0; row < pg_rows(rows); row++) {
		if (!claim_one(commander, rows, row, error))
			return false;
	}
	return true;
}

#define SIGNATURE_LINE_BYTES (SHA256_HEX_BYTES + 32)

static void sign(const struct hook_call *call, const char *secret, const char *name, const char *now,
		 char out[SIGNATURE_LINE_BYTES])
{
	char signature[SHA256_HEX_BYTES];

	webhook_sign(secret, now, call->body, strlen(call->body), signature);
	(void)snprintf(out, SIGNATURE_LINE_BYTES, "%s: %s", name, signature);
}

// As long as the secret before counts, it makes the signature that everybody looks at.
static bool start(struct commander *commander, struct hook_call *call, struct error *error)
{
	struct hook_channel *channel = channel_of(commander, call->channel);
	bool both = call->old_secret[0];
	char now[24], timestamp_line[64], signature_line[SIGNATURE_LINE_BYTES], new_line[SIGNATURE_LINE_BYTES],
		id_line[UUID_TEXT_BYTES + 16], bearer[WEBHOOK_BEARER_MAX + 1];
	const char *const headers[] = {timestamp_line, id_line, signature_line, both ? new_line : NULL, NULL};
	struct http_call asked = {
		.method = "POST",
		.url = call->url,
		.content_type = "application/cloudevents+json; charset=utf-8",
		.body = call->body,
		.headers = headers,
		.timeout_ms = (int)commander->options->webhook_timeout_s * 1000,
	};

	(void)snprintf(now, sizeof(now), "%" PRId64, clock_wall_ms());
	sign(call, both ? call->old_secret : call->secret, "Muster-Signature", now, signature_line);
	sign(call, call->secret, "Muster-Signature-New", now, new_line);
	(void)snprintf(timestamp_line, sizeof(timestamp_line), "Muster-Timestamp: %s", now);
	(void)snprintf(id_line, sizeof(id_line), "Muster-Id: %s", call->digest);
	channel->used_ms = clock_mono_ms();
	breaker_asks(&channel->breaker, channel->used_ms);
	if (call->sealed[0] && !webhook_open(&commander->hook.key, call->url, call->sealed, bearer, error))
		return false;
	asked.bearer_token = call->sealed[0] ? bearer : NULL;

	bool started = http_multi_start(commander->hook.http, &asked, on_answer, call, error);

	crypto_wipe(bearer, sizeof(bearer));
	return started;
}

// ---- the step ----

void hook_look(struct hook *hook)
{
	hook->look = true;
}

bool hook_is_due(const struct hook *hook)
{
	return hook->http && (hook->look || hook->ended);
}

bool hook_run(struct commander *commander, struct error *error)
{
	struct hook *hook = &commander->hook;

	if (!hook_is_due(hook))
		return true;
	if (!store_outcomes(commander, error) || !pg_exec(commander->pg, expire_sql, error) ||
	    !pg_exec(commander->pg, forget_sql, error) || !claim(commander, error))
		return false;
	hook->look = false;
	return true;
}

void hook_committed(struct commander *commander)
{
	struct hook *hook = &commander->hook;

	free_all(&hook->ended);
	while (hook->claimed) {
		struct hook_call *call = hook->claimed;
		struct http_answer answer = {.retry_after_s = -1};

		hook->claimed = call->next;
		call->next = hook->under_way;
		hook->under_way = call;
		if (!start(commander, call, &answer.error))
			on_answer(call, &answer);
	}
}

void hook_rolled_back(struct hook *hook)
{
	free_all(&hook->claimed);
	hook->look = true;
}

void hook_show_metrics(struct commander *commander)
{
	unsigned paused = 0;

	for (size_t i = 0; i < HOOK_CHANNELS_MAX; i++) {
		struct hook_channel *channel = &commander->hook.channels[i];

		if (channel->id != 0 && breaker_state(&channel->breaker, clock_mono_ms()) == BREAKER_OPEN)
			paused++;
	}
	metric_set(metrics_gauge(commander->metrics, "muster_webhook_channels_paused", NULL,
				 "Webhooks that failed too often, and are left alone for a while"),
		   paused);
}

// ---- making ----

void hook_init(struct commander *commander)
{
	const struct options *options = commander->options;
	struct hook *hook = &commander->hook;
	struct error error = {0};
	struct http_multi_options http = {
		.ca_file = options->webhook_ca_file, .calls_max = CALLS_MAX, .answer_max_bytes = ANSWER_MAX_BYTES};

	if (!options->webhook_key_file) {
		log_info("webhook.off", "reason", "webhook.key_file is not set: no webhooks are sent");
		return;
	}
	(void)reach_parse(options->webhook_reach, &http.reach); // a choice of the options' table: it is one
	if (webhook_key_load(&hook->key, options->webhook_key_file, &error))
		hook->http = http_multi_new(commander->loop, &http, &error);
	if (!hook->http)
		log_error("webhook.off", "error", error.what);
}

void hook_done(struct hook *hook)
{
	http_multi_free(hook->http);
	free_all(&hook->claimed);
	free_all(&hook->ended);
	free_all(&hook->under_way);
	crypto_wipe(&hook->key, sizeof(hook->key));
}
