#include "commander/wake.h"

#include "commander/cell.h"
#include "commander/commander.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH "500"
#define BATCH_MAX 500
#define LIST_MAX_BYTES 65536      // 500 ids with their commas
#define LEARNT_MIN 3              // contacts after which a device's delay counts
#define BUSY_S 60                 // after a 429 without Retry-After, as FCM's guide has it
#define PATIENCE 3                // times the usual delay
#define TIDY_EVERY_MS 3600000
#define NUMBER_BYTES 32

// Of devices that a command was just sent to; one known to be away is due at once.
#define DUE_SQL(where)                                                                                              \
	"insert into device_wake as w (device, due_at) select p.device, now() + make_interval(secs =>"               \
	" case when s.presence = 'online' then $1::float8 else 0 end) from device_push p"                            \
	" left join device_state s on s.device = p.device where p.retired_at is null and " where                     \
	" order by p.device on conflict (device) do update set"                                                      \
	" due_at = least(w.due_at, greatest(excluded.due_at, w.not_before))"
static const char sent_sql[] = DUE_SQL("p.device = any ($2::text[])");
static const char all_sql[] =
	DUE_SQL("exists (select from command c where c.device = p.device and c.state = 'sent') and "
		CELL_HAS("p.device", "2"));

// A contact long after the push may have another cause: it moves the average no more than so far. Once its device was
// here, nothing holds the next push back, but one that is under way.
static const char contact_sql[] =
	"with c as (select device, least((extract(epoch from now() - pushed_at) * 1000)::bigint, 86400000) as ms"
	" from device_wake where device = any ($1::text[]) and pushed_at is not null order by device for update)"
	" update device_wake w set delay_ms = case when w.delay_count = 0 then c.ms"
	" else (w.delay_ms::bigint * 7 + least(c.ms, w.delay_ms::bigint * 4 + 1000) * 3) / 10 end,"
	" delay_count = w.delay_count + 1, pushed_at = null, unanswered = 0, not_before = case when exists"
	" (select from fcm_dispatch d where d.device = w.device and d.ended_at is null) then w.not_before end"
	" from c where w.device = c.device returning c.ms";

static const char look_sql[] =
	"select w.device, coalesce(p.token, ''), coalesce(c.id::text, ''), coalesce(c.action, 'wake'),"
	" coalesce(c.request_id, w.asked_request_id), coalesce(ceil(extract(epoch from c.expires_at - now())), "
	"60)::bigint,"
	" w.asked_at is not null, coalesce(s.presence = 'offline' and s.presence_why = 'sleep', false),"
	" coalesce(ceil(extract(epoch from s.last_seen - now()) + s.interval_s * 1.1), 0)::bigint,"
	" case when w.hour_at > now() - interval '1 hour' then w.hour_count else 0 end,"
	" coalesce(greatest(ceil(extract(epoch from w.hour_at - now())) + 3600, 1), 1)::bigint,"
	" coalesce(w.delay_ms, 0), w.delay_count, w.unanswered, w.failures"
	" from device_wake w left join device_push p on p.device = w.device and p.retired_at is null"
	" and exists (select from device d where d.device = w.device and d.enabled)"
	" left join device_state s on s.device = w.device"
	" left join lateral (select id, action, request_id, expires_at from command where device = w.device"
	"  and state = 'sent' and expires_at > now() order by n limit 1) c on true"
	" where w.due_at <= now() and " CELL_HAS("w.device", "1") " order by w.due_at limit " BATCH
								  " for update of w skip locked";
enum column {
	DEVICE, TOKEN, COMMAND, ACTION, REQUEST_ID, TTL_S, ASKED, SLEEPS, HEARTBEAT_IN_S, HOUR_COUNT, HOUR_LEFT_S,
	DELAY_MS, DELAY_COUNT, UNANSWERED, FAILURES,
};

static const char rest_sql[] = "update device_wake set due_at = null, asked_at = null where device = $1";
static const char later_sql[] =
	"update device_wake set due_at = now() + make_interval(secs => $2::float8) where device = $1";
static const char minute_sql[] =
	"select count(*) from fcm_dispatch where started_at > now() - interval '1 minute'";
// What the device's last push left open was that of a commander that died.
static const char claim_sql[] =
	"with died as (update fcm_dispatch set ended_at = now(), fcm_status = 'ABANDONED',"
	" reason = 'its commander died or lost its database' where device = $1 and ended_at is null),"
	" made as (insert into fcm_dispatch (device, id, command, action, request_id)"
	" values ($1, $2::uuid, nullif($3, '')::uuid, $4, $5))"
	" update device_wake set due_at = now() + make_interval(secs => $6::float8),"
	" not_before = now() + make_interval(secs => $6::float8), pushed_at = now(),"
	" hour_count = case when hour_at > now() - interval '1 hour' then hour_count else 0 end + 1,"
	" hour_at = case when hour_at > now() - interval '1 hour' then hour_at else now() end where device = $1";

// $7 seconds until the next look, null for none; $8 until the next push may be; $9 it was taken; $10 it is not to be
// tried again.
static const char outcome_sql[] =
	"with d as (update fcm_dispatch set ended_at = now(), latency_ms = $3::integer,"
	" http_status = nullif($4::integer, 0), fcm_status = $5, reason = $6"
	" where device = $1 and id = $2::uuid and ended_at is null)"
	" update device_wake set due_at = now() + make_interval(secs => $7::float8),"
	" not_before = case when $9::boolean and pushed_at is null then null"
	" else now() + make_interval(secs => $8::float8) end,"
	" unanswered = case when not $9::boolean then unanswered when pushed_at is null then 0 else unanswered + 1 end,"
	" failures = case when $10::boolean then 0 else failures + 1 end,"
	" pushed_at = case when $9::boolean then pushed_at end, asked_at = case when not $10::boolean then asked_at end"
	" where device = $1";
static const char woken_sql[] =
	"update command set woken_at = now(), changed_at = now() where id = $1::uuid and woken_at is null";
static const char retire_sql[] =
	"update device_push set retired_at = now(), retired_reason = $3 where device = $1 and token = $2";
static const char tidy_sql[] =
	"with old as (delete from fcm_dispatch where started_at < now() - interval '30 days')"
	" update fcm_dispatch set ended_at = now(), fcm_status = 'ABANDONED',"
	" reason = 'its commander died or lost its database' where ended_at is null and"
	" started_at between now() - interval '30 days' and now() - interval '10 minutes'";

struct wake_push {
	struct wake_push *next;
	char device[DEVICE_ID_MAX + 1], id[UUID_TEXT_BYTES], command[UUID_TEXT_BYTES];
	char action[64], request_id[REQUEST_ID_MAX + 1];
	char *token;
	int64_t ttl_s, delay_ms, delay_count, unanswered, failures;
	struct fcm_outcome outcome;
};

static void push_free(void *ticket)
{
	struct wake_push *push = ticket;

	if (!push)
		return;
	free(push->token);
	free(push);
}

static void free_all(struct wake_push **list)
{
	while (*list) {
		struct wake_push *push = *list;

		*list = push->next;
		push_free(push);
	}
}

// ---- what is decided ----

enum wake_choice wake_decide(const struct wake_facts *facts, const struct options *options, int64_t *later_s)
{
	if (!facts->reachable || !facts->wanted)
		return WAKE_REST;
	if (facts->hour_count >= options->fcm_device_per_hour) {
		*later_s = facts->hour_left_s;
		return WAKE_LATER;
	}
	// It will be here before a push has brought it.
	if (facts->sleeps && !facts->asked && facts->heartbeat_in_s > 0 && facts->delay_count >= LEARNT_MIN &&
	    facts->heartbeat_in_s * 1000 <= facts->delay_ms) {
		*later_s = facts->heartbeat_in_s + options->wake_after_s;
		return WAKE_LATER;
	}
	return WAKE_PUSH;
}

static int64_t doubled(int64_t base, int64_t times, int64_t max)
{
	for (int64_t i = 0; i < times && base < max; i++)
		base *= 2;
	return base < max ? base : max;
}

int64_t wake_retry_s(const struct options *options, int64_t delay_ms, int64_t delay_count, int64_t unanswered)
{
	int64_t base_s = options->wake_retry_s;

	if (delay_count >= LEARNT_MIN)
		base_s = (delay_ms * PATIENCE + 999) / 1000;
	if (base_s < options->wake_after_s)
		base_s = options->wake_after_s;
	return doubled(base_s, unanswered, options->wake_retry_max_s);
}

// A push takes at most so long: a token, the push, and both again.
static int64_t lease_s(const struct options *options)
{
	return 4 * options->fcm_timeout_s + 5;
}

// ---- what the others tell ----

void wake_sent(struct wake *wake, const char *device)
{
	if (wake->fcm && !devices_add(&wake->sent, device))
		wake->look_all = true;
}

void wake_contact(struct wake *wake, const char *device)
{
	if (wake->fcm)
		(void)devices_add(&wake->contacts, device); // beyond DEVICES_MAX at once, one more delay is not learnt
}

void wake_look(struct wake *wake)
{
	wake->look = wake->fcm != NULL;
}

void wake_look_all(struct wake *wake)
{
	wake->look = wake->look_all = wake->fcm != NULL;
}

bool wake_is_due(const struct wake *wake)
{
	return wake->look || wake->look_all || wake->sent.count > 0 || wake->contacts.count > 0 || wake->ended;
}

// ---- what came of a push ----

static void count_outcome(struct commander *commander, const struct wake_push *push)
{
	static const char *const words[] = {[FCM_TAKEN] = "taken",
					    [FCM_GONE] = "gone",
					    [FCM_REFUSED] = "refused",
					    [FCM_BUSY] = "busy",
					    [FCM_FAILED] = "failed"};
	char labels[128];

	(void)snprintf(labels, sizeof(labels), "action=\"%s\",outcome=\"%s\"", push->action,
		       words[push->outcome.verdict]);
	metric_add(metrics_counter(commander->metrics, "muster_fcm_pushes_total", labels,
				   "Pushes to devices, by what came of them"),
		   1);
	(void)snprintf(labels, sizeof(labels), "action=\"%s\"", push->action);
	metric_observe(metrics_histogram(commander->metrics, "muster_fcm_seconds", labels,
					 "From a push to the service's answer"),
		       (double)push->outcome.latency_ms / 1000);
}

static void log_outcome(struct wake *wake, const struct wake_push *push)
{
	const struct fcm_outcome *outcome = &push->outcome;
	struct error error = {0};

	log_write(outcome->verdict == FCM_TAKEN ? LOG_INFO : LOG_WARN, "fcm.push", "device", push->device, "command",
		  push->command[0] ? push->command : NULL, "request_id", push->request_id[0] ? push->request_id : NULL,
		  "status", outcome->status, "http_status",
		  outcome->http_status ? log_number(outcome->http_status) : NULL, "latency_ms",
		  log_number(outcome->latency_ms), "reason", outcome->reason[0] ? outcome->reason : NULL,
		  (const char *)NULL);
	if (outcome->verdict != FCM_FAILED && outcome->verdict != FCM_BUSY) {
		log_fault_over(&wake->fault, "fcm.away");
		return;
	}
	(void)error_set(&error, ERROR_UNREACHABLE, "%s: %s", outcome->status, outcome->reason);
	log_fault(&wake->fault, "fcm.away", &error);
}

static int64_t busy_s(const struct fcm_outcome *outcome)
{
	return outcome->retry_after_s > 0 ? outcome->retry_after_s : BUSY_S;
}

static void on_done(void *user, void *ticket, const struct fcm_outcome *outcome)
{
	struct commander *commander = user;
	struct wake *wake = &commander->wake;
	struct wake_push *push = ticket;
	int64_t now_ms = clock_mono_ms();

	push->outcome = *outcome;
	if (outcome->verdict == FCM_BUSY)
		breaker_hold(&wake->breaker, busy_s(outcome) * 1000, now_ms);
	else if (outcome->verdict == FCM_FAILED)
		breaker_failure(&wake->breaker, now_ms);
	else
		breaker_success(&wake->breaker);
	count_outcome(commander, push);
	log_outcome(wake, push);
	push->next = wake->ended;
	wake->ended = push;
	loop_timer_once(commander->tick, 0);
}

// Seconds until the next look: after a failure with jitter, and never before the service wants to be asked again.
static int64_t next_s(const struct options *options, const struct wake_push *push)
{
	const struct fcm_outcome *outcome = &push->outcome;
	int64_t base_s = 0;

	switch (outcome->verdict) {
	case FCM_TAKEN:
		return wake_retry_s(options, push->delay_ms, push->delay_count, push->unanswered);
	case FCM_BUSY:
		return busy_s(outcome) + clock_backoff_ms(0, 5000, 5000) / 1000;
	case FCM_FAILED:
		base_s = doubled(options->wake_retry_s, push->failures, options->wake_retry_max_s);
		base_s = base_s / 2 + clock_backoff_ms(0, base_s * 500, base_s * 500) / 1000;
		if (base_s < outcome->retry_after_s)
			base_s = outcome->retry_after_s;
		return base_s > 0 ? base_s : 1;
	default:
		return options->wake_retry_max_s;
	}
}

static void number(char out[NUMBER_BYTES], int64_t value)
{
	(void)snprintf(out, NUMBER_BYTES, "%lld", (long long)value);
}

static bool store_outcome(struct commander *commander, const struct wake_push *push, struct error *error)
{
	const struct fcm_outcome *outcome = &push->outcome;
	bool taken = outcome->verdict == FCM_TAKEN;
	bool again = outcome->verdict == FCM_BUSY || outcome->verdict == FCM_FAILED;
	char latency[NUMBER_BYTES], http_status[NUMBER_BYTES], next[NUMBER_BYTES];
	const char *const params[] = {push->device,    push->id, latency,
				      http_status,     outcome->status, outcome->reason,
				      taken || again ? next : NULL, next, taken ? "true" : "false",
				      again ? "false" : "true"};
	const char *const retire[] = {push->device, push->token, outcome->status};
	const char *const command[] = {push->command};

	number(latency, outcome->latency_ms);
	number(http_status, outcome->http_status);
	number(next, next_s(commander->options, push));
	if (!pg_query(commander->pg, NULL, error, outcome_sql, 10, params))
		return false;
	if (outcome->verdict == FCM_GONE && !pg_query(commander->pg, NULL, error, retire_sql, 3, retire))
		return false;
	if (!taken || push->command[0] == '\0')
		return true;
	commander->moved = true; // who shows commands looks again
	return pg_query(commander->pg, NULL, error, woken_sql, 1, command);
}

static bool store_outcomes(struct commander *commander, struct error *error)
{
	for (const struct wake_push *push = commander->wake.ended; push; push = push->next) {
		if (!store_outcome(commander, push, error))
			return error_prefix(error, "storing what came of a push");
		commander->wake.look = true; // there is room for another
	}
	return true;
}

// ---- whom to look at ----

static bool learn_contacts(struct commander *commander, struct error *error)
{
	struct wake *wake = &commander->wake;
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf list = {0};
	const char *params[1];

	wake->contacts_taken = wake->contacts.count < BATCH_MAX ? wake->contacts.count : BATCH_MAX;
	if (wake->contacts_taken == 0)
		return true;
	buf_init(&list, LIST_MAX_BYTES);
	devices_literal(&wake->contacts, wake->contacts_taken, &list);
	params[0] = buf_str(&list);
	if (!pg_query(commander->pg, &rows, error, contact_sql, 1, params))
		return error_prefix(error, "learning how long a push takes");
	for (size_t row = 0; row < pg_rows(rows); row++)
		metric_observe(metrics_histogram(commander->metrics, "muster_wake_contact_seconds", NULL,
						 "From a push to the device's next sign of life"),
			       (double)pg_int(rows, row, 0) / 1000);
	return true;
}

static bool note_sent(struct commander *commander, struct error *error)
{
	struct wake *wake = &commander->wake;
	auto_buf struct buf list = {0};
	char after[NUMBER_BYTES];
	const char *params[] = {after, NULL};

	wake->sent_taken = wake->sent.count < BATCH_MAX ? wake->sent.count : BATCH_MAX;
	number(after, commander->options->wake_after_s);
	if (wake->sent_taken > 0) {
		buf_init(&list, LIST_MAX_BYTES);
		devices_literal(&wake->sent, wake->sent_taken, &list);
		params[1] = buf_str(&list);
		if (!pg_query(commander->pg, NULL, error, sent_sql, 2, params))
			return error_prefix(error, "noting whom to wake");
		wake->look = true; // at those who are away
	}
	if (wake->look_all) {
		params[1] = commander->cell;
		if (!pg_query(commander->pg, NULL, error, all_sql, 2, params))
			return error_prefix(error, "noting whom to wake");
		wake->look_all = false;
	}
	return true;
}

// ---- pushing ----

static struct wake_push *make_push(const struct pg_result *rows, size_t row)
{
	struct wake_push *push = calloc(1, sizeof(*push));

	if (!push)
		return NULL;
	(void)snprintf(push->device, sizeof(push->device), "%s", pg_text(rows, row, DEVICE));
	(void)snprintf(push->command, sizeof(push->command), "%s", pg_text(rows, row, COMMAND));
	(void)snprintf(push->action, sizeof(push->action), "%s", pg_text(rows, row, ACTION));
	(void)snprintf(push->request_id, sizeof(push->request_id), "%s", pg_text(rows, row, REQUEST_ID));
	crypto_uuid4(push->id);
	push->token = strdup(pg_text(rows, row, TOKEN));
	push->ttl_s = pg_int(rows, row, TTL_S);
	push->delay_ms = pg_int(rows, row, DELAY_MS);
	push->delay_count = pg_int(rows, row, DELAY_COUNT);
	push->unanswered = pg_int(rows, row, UNANSWERED);
	push->failures = pg_int(rows, row, FAILURES);
	if (push->token)
		return push;
	push_free(push);
	return NULL;
}

static bool claim(struct commander *commander, const struct pg_result *rows, size_t row, struct error *error)
{
	struct wake_push *push = make_push(rows, row);
	char lease[NUMBER_BYTES];

	if (!push)
		return error_set(error, ERROR_FAILED, "no memory for a push");
	push->next = commander->wake.claimed;
	commander->wake.claimed = push;
	number(lease, lease_s(commander->options));
	const char *const params[] = {push->device, push->id, push->command, push->action, push->request_id, lease};
	return pg_query(commander->pg, NULL, error, claim_sql, 6, params);
}

static struct wake_facts facts_of(const struct pg_result *rows, size_t row)
{
	return (struct wake_facts){
		.reachable = pg_text(rows, row, TOKEN)[0] != '\0',
		.wanted = pg_text(rows, row, COMMAND)[0] != '\0' || pg_bool(rows, row, ASKED),
		.asked = pg_bool(rows, row, ASKED),
		.sleeps = pg_bool(rows, row, SLEEPS),
		.heartbeat_in_s = pg_int(rows, row, HEARTBEAT_IN_S),
		.hour_count = pg_int(rows, row, HOUR_COUNT),
		.hour_left_s = pg_int(rows, row, HOUR_LEFT_S),
		.delay_ms = pg_int(rows, row, DELAY_MS),
		.delay_count = pg_int(rows, row, DELAY_COUNT),
	};
}

// How many may be pushed now: what the breaker, the connection and the project's quota leave.
static bool find_room(struct commander *commander, int64_t *room, struct error *error)
{
	struct wake *wake = &commander->wake;
	auto_pg_result struct pg_result *rows = NULL;

	*room = breaker_room(&wake->breaker, FCM_PUSHES_MAX - (unsigned)fcm_under_way(wake->fcm), clock_mono_ms());
	if (*room == 0)
		return true;
	if (!pg_query(commander->pg, &rows, error, minute_sql, 0, NULL))
		return false;
	int64_t quota = commander->options->fcm_project_per_minute - pg_int(rows, 0, 0);
	if (quota < *room)
		*room = quota > 0 ? quota : 0;
	return true;
}

static bool look(struct commander *commander, const struct pg_result *rows, size_t *left, struct error *error)
{
	int64_t room = 0;

	if (!find_room(commander, &room, error))
		return false;
	for (size_t row = 0; row < pg_rows(rows); row++) {
		const struct wake_facts facts = facts_of(rows, row);
		char later[NUMBER_BYTES];
		const char *const params[] = {pg_text(rows, row, DEVICE), later};
		int64_t later_s = 0;
		bool ok = true;

		switch (wake_decide(&facts, commander->options, &later_s)) {
		case WAKE_REST:
			ok = pg_query(commander->pg, NULL, error, rest_sql, 1, params);
			break;
		case WAKE_LATER:
			number(later, later_s);
			ok = pg_query(commander->pg, NULL, error, later_sql, 2, params);
			break;
		case WAKE_PUSH:
			if (room-- > 0)
				ok = claim(commander, rows, row, error);
			else
				(*left)++; // stays due
			break;
		}
		if (!ok)
			return false;
	}
	return true;
}

static bool look_at_due(struct commander *commander, struct error *error)
{
	struct wake *wake = &commander->wake;
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {commander->cell};
	size_t left = 0;

	if (!wake->look)
		return true;
	if (!pg_query(commander->pg, &rows, error, look_sql, 1, params) ||
	    (pg_rows(rows) > 0 && !look(commander, rows, &left, error)))
		return error_prefix(error, "waking devices");
	wake->look = pg_rows(rows) == BATCH_MAX && left == 0;
	return true;
}

static bool tidy(struct commander *commander, struct error *error)
{
	struct wake *wake = &commander->wake;
	int64_t now_ms = clock_mono_ms();

	if (wake->tidied_ms != 0 && now_ms - wake->tidied_ms < TIDY_EVERY_MS)
		return true;
	wake->tidied_ms = now_ms;
	return pg_query(commander->pg, NULL, error, tidy_sql, 0, NULL);
}

// ---- the step ----

bool wake_run(struct commander *commander, struct error *error)
{
	struct wake *wake = &commander->wake;

	wake->sent_taken = wake->contacts_taken = 0;
	if (!wake_is_due(wake))
		return true;
	return store_outcomes(commander, error) && learn_contacts(commander, error) && note_sent(commander, error) &&
	       look_at_due(commander, error) && tidy(commander, error);
}

void wake_committed(struct commander *commander)
{
	struct wake *wake = &commander->wake;

	devices_drop(&wake->sent, wake->sent_taken);
	devices_drop(&wake->contacts, wake->contacts_taken);
	wake->sent_taken = wake->contacts_taken = 0;
	free_all(&wake->ended);
	while (wake->claimed) {
		struct wake_push *push = wake->claimed;
		const struct fcm_push message = {
			push->token, push->request_id[0] ? push->request_id : NULL, push->ttl_s};
		struct error error = {0};
		struct fcm_outcome outcome = {.verdict = FCM_FAILED, .retry_after_s = -1, .status = "UNREACHABLE"};

		wake->claimed = push->next;
		breaker_asks(&wake->breaker, clock_mono_ms());
		if (fcm_push(wake->fcm, &message, push, &error))
			continue;
		(void)snprintf(outcome.reason, sizeof(outcome.reason), "%.*s", FCM_REASON_BYTES - 1, error.what);
		on_done(commander, push, &outcome);
	}
}

void wake_rolled_back(struct wake *wake)
{
	wake->sent_taken = wake->contacts_taken = 0;
	free_all(&wake->claimed);
	wake_look_all(wake);
}

// ---- what is shown ----

void wake_show_metrics(struct commander *commander)
{
	struct wake *wake = &commander->wake;

	if (!wake->fcm)
		return;
	struct fcm_counts counts = fcm_counts(wake->fcm);
	metric_set(metrics_gauge(commander->metrics, "muster_fcm_breaker_state", NULL,
				 "0 closed, 1 half open, 2 open: pushes pause"),
		   breaker_state(&wake->breaker, clock_mono_ms()));
	metric_set(
		metrics_gauge(commander->metrics, "muster_fcm_pushes_under_way", NULL, "Pushes without an answer yet"),
		(double)fcm_under_way(wake->fcm));
	metric_set(metrics_gauge(commander->metrics, "muster_fcm_access_tokens", NULL,
				 "Access tokens got since the start"),
		   (double)counts.tokens);
	metric_set(
		metrics_gauge(commander->metrics, "muster_fcm_connections", NULL, "Connections made since the start"),
		(double)counts.connections);
}

struct json *wake_health(struct wake *wake)
{
	struct json *body = json_new_object();
	int64_t now_ms = clock_mono_ms();

	if (!wake->fcm) {
		json_set_string(body, "state", "off");
		return body;
	}
	enum breaker_state state = breaker_state(&wake->breaker, now_ms);
	json_set_string(body, "state", state == BREAKER_OPEN ? "paused" : "ready");
	json_set_string(body, "breaker", breaker_state_name(state));
	json_set_int(body, "paused_ms", breaker_wait_ms(&wake->breaker, now_ms));
	json_set_int(body, "under_way", (int64_t)fcm_under_way(wake->fcm));
	return body;
}

// ---- making ----

void wake_init(struct commander *commander)
{
	const struct options *options = commander->options;
	struct wake *wake = &commander->wake;
	const struct fcm_options fcm = {
		.credentials_file = options->fcm_credentials_file,
		.endpoint = options->fcm_endpoint,
		.ca_file = options->fcm_ca_file,
		.timeout_ms = (int)options->fcm_timeout_s * 1000,
	};

	struct error error = {0};

	breaker_init(&wake->breaker, (unsigned)options->fcm_breaker_failures, options->fcm_breaker_open_s * 1000,
		     options->fcm_breaker_open_s * 16000);
	if (!options->fcm_credentials_file) {
		log_info("wake.off", "reason", "fcm.credentials_file is not set: devices that sleep get their commands "
					       "when they next connect by themselves");
		return;
	}
	wake->fcm = fcm_new(commander->loop, &fcm, on_done, commander, &error);
	if (wake->fcm)
		log_info("wake.on", "project", fcm_project(wake->fcm), "endpoint", options->fcm_endpoint);
	else
		log_error("wake.off", "error", error.what);
}

void wake_done(struct wake *wake)
{
	fcm_free(wake->fcm, push_free);
	free_all(&wake->claimed);
	free_all(&wake->ended);
	devices_done(&wake->sent);
	devices_done(&wake->contacts);
}
