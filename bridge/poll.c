#include "bridge/poll.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define uthash_fatal(text) abort() // as wherever memory runs out
#include <uthash.h>

#define WAIT_MAX_S 60
#define SWEEP_MS 200
#define REST_TIMES 4 // so many times as long as a look at all took, there is no other
#define COUNTER_DIGITS_MAX 18
#define ANSWER_MAX_BYTES ((size_t)2 * JWS_MAX_BYTES)

static const char sql_sent[] =
	"select device, n, jws from command where state = 'sent' and device = any ($1::text[]) and expires_at > now()"
	" order by device, n";

struct waiter {
	char device[DEVICE_ID_MAX + 1];
	struct http_request *request;
	int64_t after;	     // counter of the last command that the device has seen
	int64_t deadline_ms; // monotonic
	bool fresh;	     // the database was not asked for it yet
	struct buf found;    // its commands as JSON strings
	UT_hash_handle hh;
};

struct poll {
	struct poll_options options;
	struct loop_timer *timer;
	struct waiter *waiters;
	size_t fresh;	   // of them
	bool asking;	   // a job is under way
	bool changed;	   // since the last look at all
	int64_t rest_ms;   // monotonic: no look at all before
	struct metric *waiting, *delivered;
	struct log_fault fault;
};

struct question {
	struct worker_job job;
	struct poll *poll;
	struct buf devices; // text[]
	bool all;
	int64_t asked_ms;
	struct pg_result *rows;
};

static void ask(struct poll *poll);

// ---- the table ----
// The macros of uthash count as the code of whoever uses them.
// NOLINTBEGIN(readability-function-cognitive-complexity,readability-function-size)

static struct waiter *find(const struct poll *poll, const char *device)
{
	struct waiter *waiter = NULL;

	HASH_FIND_STR(poll->waiters, device, waiter);
	return waiter;
}

static void enter(struct poll *poll, struct waiter *waiter)
{
	HASH_ADD_STR(poll->waiters, device, waiter);
}

static void leave(struct poll *poll, struct waiter *waiter)
{
	HASH_DEL(poll->waiters, waiter);
}

// NOLINTEND(readability-function-cognitive-complexity,readability-function-size)

// ---- answers ----

static void forget(struct poll *poll, struct waiter *waiter)
{
	if (waiter->fresh)
		poll->fresh--;
	leave(poll, waiter);
	buf_done(&waiter->found);
	poll->options.answered(waiter->device, poll->options.user);
	free(waiter);
}

static void answer(struct poll *poll, struct waiter *waiter)
{
	auto_buf struct buf body = {0};

	buf_init(&body, ANSWER_MAX_BYTES + 32);
	(void)buf_addf(&body, "{\"commands\":[%s]}", buf_str(&waiter->found));
	http_reply(waiter->request, 200, "application/json", buf_str(&body), body.len_bytes);
	forget(poll, waiter);
}

static void fail(struct poll *poll, struct waiter *waiter, const char *detail)
{
	http_reply_header(waiter->request, "Retry-After", "2");
	http_reply_problem(waiter->request, 503, detail);
	forget(poll, waiter);
}

// ---- asking the database ----

static bool question_run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct question *question = (struct question *)job;

	return PG_QUERY(pg, &question->rows, error, sql_sent, buf_str(&question->devices));
}

static void take_found(struct poll *poll, const struct pg_result *rows)
{
	for (size_t i = 0; i < pg_rows(rows); i++) {
		const char *jws = pg_text(rows, i, 2);
		struct waiter *waiter = find(poll, pg_text(rows, i, 0));

		if (!waiter || !jws || pg_int(rows, i, 1) <= waiter->after)
			continue;
		metric_add(poll->delivered, 1);
		// What does not fit is there at the next request.
		if (waiter->found.len_bytes + strlen(jws) + 3 > ANSWER_MAX_BYTES)
			continue;
		(void)buf_add_str(&waiter->found, waiter->found.len_bytes == 0 ? "" : ",");
		(void)json_quote(&waiter->found, jws);
	}
}

// All who were asked for and have something, or waited long enough.
static void hand_out(struct poll *poll, const char *devices)
{
	char device[DEVICE_ID_MAX + 1];
	int64_t now_ms = clock_mono_ms();

	for (const char *at = devices + 1; *at && *at != '}';) {
		size_t len = strcspn(at, ",}");
		struct waiter *waiter = NULL;

		(void)snprintf(device, sizeof(device), "%.*s", (int)len, at);
		waiter = find(poll, device);
		if (waiter && (waiter->found.len_bytes > 0 || (!waiter->fresh && waiter->deadline_ms <= now_ms)))
			answer(poll, waiter);
		at += len + (at[len] == ',' ? 1 : 0);
	}
}

static void question_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct question *question = (struct question *)job;
	struct poll *poll = question->poll;
	int64_t took_ms = clock_mono_ms() - question->asked_ms;

	poll->asking = false;
	if (ok) {
		log_fault_over(&poll->fault, "commands.unread");
		take_found(poll, question->rows);
		hand_out(poll, buf_str(&question->devices));
	} else {
		log_fault(&poll->fault, "commands.unread", error);
		poll->changed = true; // nothing is known of those who came since either
	}
	if (question->all)
		poll->rest_ms = clock_mono_ms() + REST_TIMES * took_ms;
	pg_result_free(question->rows);
	buf_done(&question->devices);
	free(question);
	if (ok)
		ask(poll); // else the timer does, so that a fault is not asked for at full speed
}

static struct waiter *newest(const struct poll *poll)
{
	return poll->waiters ? ELMT_FROM_HH(poll->waiters->hh.tbl, poll->waiters->hh.tbl->tail) : NULL;
}

// All who wait when something has changed, else those who came since.
static void ask(struct poll *poll)
{
	bool all = poll->changed && clock_mono_ms() >= poll->rest_ms;
	struct question *question = NULL;

	if (poll->asking || !poll->waiters || (!all && poll->fresh == 0))
		return;
	question = calloc(1, sizeof(*question));
	if (!question)
		return; // the timer tries again
	*question = (struct question){.job = {.run = question_run, .done = question_done},
				      .poll = poll, .all = all, .asked_ms = clock_mono_ms()};
	buf_init(&question->devices, (DEVICE_ID_MAX + 1) * (poll->options.waiting_max + 1));
	// From the newest on: the fresh ones are the last.
	for (struct waiter *waiter = newest(poll); waiter && (all || waiter->fresh); waiter = waiter->hh.prev) {
		(void)buf_add_str(&question->devices, question->devices.len_bytes == 0 ? "{" : ",");
		(void)buf_add_str(&question->devices, waiter->device);
	}
	(void)buf_add_str(&question->devices, "}");
	if (question->devices.overflowed || !worker_submit(poll->options.worker, &question->job)) {
		buf_done(&question->devices);
		free(question);
		return;
	}
	for (struct waiter *waiter = newest(poll); waiter && waiter->fresh; waiter = waiter->hh.prev)
		waiter->fresh = false;
	poll->fresh = 0;
	poll->asking = true;
	if (all)
		poll->changed = false;
}

void poll_changed(struct poll *poll)
{
	poll->changed = true;
	ask(poll);
}

static void on_timer(void *user)
{
	struct poll *poll = user;
	struct waiter *waiter = NULL;
	struct waiter *next = NULL;
	int64_t now_ms = clock_mono_ms();
	bool fresh = worker_fresh(poll->options.worker);

	ask(poll);
	HASH_ITER (hh, poll->waiters, waiter, next) {
		if (!fresh)
			fail(poll, waiter, "the database is away; ask again later");
		else if (waiter->deadline_ms <= now_ms && !waiter->fresh && !poll->asking)
			answer(poll, waiter);
	}
	metric_set(poll->waiting, (double)HASH_COUNT(poll->waiters));
}

// ---- taking in ----

// Digits of a number up to max; false when it is none.
static bool read_number(const char *text, int64_t max, int64_t *out)
{
	if (!text)
		return true;
	if (text[0] == '\0' || strlen(text) > COUNTER_DIGITS_MAX || strspn(text, "0123456789") != strlen(text))
		return false;
	*out = strtoll(text, NULL, 10);
	return *out <= max;
}

void poll_take(struct poll *poll, struct http_request *request, const char *device)
{
	int64_t wait_s = 0;
	int64_t after = 0;
	struct waiter *waiter = NULL;

	if (!read_number(http_query(request, "wait"), WAIT_MAX_S, &wait_s)) {
		http_reply_problem(request, 400, "wait must be a whole number of seconds from 0 to 60");
		return;
	}
	if (!read_number(http_query(request, "after"), INT64_MAX, &after)) {
		http_reply_problem(request, 400, "after must be the counter n of a command");
		return;
	}
	poll_end(poll, device);
	waiter = HASH_COUNT(poll->waiters) < poll->options.waiting_max ? calloc(1, sizeof(*waiter)) : NULL;
	if (!waiter) {
		http_reply_header(request, "Retry-After", "5");
		http_reply_problem(request, 503, "too many devices wait already; ask again later");
		return;
	}
	(void)snprintf(waiter->device, sizeof(waiter->device), "%s", device);
	waiter->request = request;
	buf_init(&waiter->found, ANSWER_MAX_BYTES);
	waiter->after = after;
	waiter->deadline_ms = clock_mono_ms() + wait_s * 1000;
	waiter->fresh = true;
	poll->fresh++;
	enter(poll, waiter);
	ask(poll);
}

bool poll_waits(const struct poll *poll, const char *device)
{
	return find(poll, device);
}

void poll_end(struct poll *poll, const char *device)
{
	struct waiter *waiter = find(poll, device);

	if (waiter)
		answer(poll, waiter);
}

// ---- making ----

struct poll *poll_new(struct loop *loop, const struct poll_options *options, struct error *error)
{
	struct poll *poll cleanup(poll_free_cleanup) = calloc(1, sizeof(*poll));

	if (!poll) {
		error_errno(error, ENOMEM, "cannot make the table of waiting devices");
		return NULL;
	}
	poll->options = *options;
	poll->waiting = metrics_gauge(options->metrics, "muster_polls_waiting", NULL, "Devices that wait for commands");
	poll->delivered = metrics_counter(options->metrics, "muster_polled_commands_total", NULL,
					  "Commands handed to HTTP-only devices");
	poll->timer = loop_timer_new(loop, on_timer, poll, error);
	if (!poll->timer)
		return NULL;
	loop_timer_every(poll->timer, SWEEP_MS);
	return steal(poll);
}

void poll_free(struct poll *poll)
{
	struct waiter *waiter = NULL;
	struct waiter *next = NULL;

	if (!poll)
		return;
	HASH_ITER (hh, poll->waiters, waiter, next)
		fail(poll, waiter, "the bridge is stopping; ask again later");
	loop_timer_free(poll->timer);
	free(poll);
}
