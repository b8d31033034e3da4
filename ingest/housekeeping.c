// The work itself is in the database (db/migrations/0003_rollups.sql, and why in docs/decisions/0007), each call a
// transaction that is repeated or abandoned without harm. Here is when, how much at a time, and what to do about a
// failure.
#include "ingest/housekeeping.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/pg.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define EXPIRED_EVERY_MS ((int64_t)3600 * 1000) // partitions and retention
#define RETRY_MS ((int64_t)60 * 1000)
#define ELSEWHERE_MS ((int64_t)10 * 1000) // to take over from another ingest, or from oneself before a restart
#define SLICE_ROWS_MAX 500000 // some seconds; larger ones would only save writing a device's hour more than once
#define SLICE_ROWS_MIN 1000
#define SWEEP_ROWS 10000
#define DROP_TRIES 5
#define DROP_PAUSE_MS 2000

// Nobody waits for a lock behind us for longer than this, and no statement lasts as long as the connection may be
// silent.
#define SESSION_SQL                                                                                                    \
	"set lock_timeout = '2s'; set statement_timeout = '45s'; set client_min_messages = warning; "                  \
	"set client_connection_check_interval = '2s'"

#define LOCK_SQL "select pg_try_advisory_lock(hashtext('muster.housekeeping'))"
#define UNLOCK_SQL "select pg_advisory_unlock(hashtext('muster.housekeeping'))"
#define PARTITIONS_SQL "select ensure_partitions(7)"
#define ROLLUP_PARTITIONS_SQL "select ensure_rollup_partitions($1)"
#define SUMMARIZE_SQL "select rollup_summarize()"
#define SLICE_SQL "select rows, refused, more from rollup_slice($1)"
#define DROP_SQL "select drop_expired_partition($1, $2)"
#define SAMPLE_SQL "select sample_fleet(55)" // a round comes each minute at most
#define SWEEP_SQL "select sweep_expired($1, $2, $3)"
#define SWEEP_OUTPUT_SQL "select sweep_command_output($1, $2)"
#define SWEEP_CHANGES_SQL "select sweep_inventory_changes($1, $2)"

enum category { TELEMETRY, EVENT, ROLLUP, QUARANTINE, COMMAND, OUTPUT, CHANGE, CATEGORIES };
static const char *const category_names[CATEGORIES] = {"telemetry", "event", "rollup", "quarantine",
							 "command",   "output", "inventory change"};
#define PARTITIONED QUARANTINE // those before it

// What happened since the last report.
struct tally {
	int64_t rounds, failures, rows, refused, partitions, swept;
	double seconds;	 // of the last round
	int64_t last_ms; // wall time of the last one that did all it had to
};

struct housekeeping {
	struct pg *pg;
	int64_t every_ms;
	long days[CATEGORIES];
	long slice_rows;
	int64_t expired_ms; // monotonic: when partitions and retention are next
	int stop_fd;	    // readable: end
	bool elsewhere;	    // the last round was another ingest's
	bool started;
	pthread_t thread;
	struct log_fault fault;
	pthread_mutex_t mutex; // over tally alone
	struct tally tally;
	struct metric *last_run, *seconds, *rounds, *failures, *rows, *refused, *partitions, *swept;
};

// A number as a parameter of a statement.
struct number {
	char text[24];
};

static struct number number(long value)
{
	struct number number;
	(void)snprintf(number.text, sizeof(number.text), "%ld", value);
	return number;
}

static bool on_connect(struct pg *pg, void *user, struct error *error)
{
	return pg_exec(pg, SESSION_SQL, error);
}

static void make_metrics(struct housekeeping *h, struct metrics *metrics)
{
	h->last_run = metrics_gauge(metrics, "muster_ingest_housekeeping_last_success_timestamp_seconds", NULL,
				    "When housekeeping last did all it had to.");
	h->seconds =
		metrics_gauge(metrics, "muster_ingest_housekeeping_seconds", NULL, "How long the last round took.");
	h->rounds = metrics_counter(metrics, "muster_ingest_housekeeping_rounds_total", NULL,
				    "Rounds of housekeeping done by this process.");
	h->failures = metrics_counter(metrics, "muster_ingest_housekeeping_failures_total", NULL,
				      "Rounds in which something failed.");
	h->rows = metrics_counter(metrics, "muster_ingest_rollup_rows_total", NULL,
				  "Rows of telemetry added to the hourly rollups.");
	h->refused = metrics_counter(metrics, "muster_ingest_rollup_refused_total", NULL,
				     "Custom values not rolled up: too many names of one device, or too large to add.");
	h->partitions = metrics_counter(metrics, "muster_ingest_partitions_dropped_total", NULL,
					"Partitions dropped because they had expired.");
	h->swept =
		metrics_counter(metrics, "muster_ingest_expired_rows_total", NULL, "Expired rows deleted one by one.");
}

struct housekeeping *housekeeping_new(const struct housekeeping_options *options, struct error *error)
{
	struct housekeeping *h cleanup(housekeeping_free_cleanup) = calloc(1, sizeof(*h));
	if (!h) {
		error_errno(error, ENOMEM, "cannot set up housekeeping");
		return NULL;
	}
	(void)pthread_mutex_init(&h->mutex, NULL); // cannot fail on Linux
	h->every_ms = (int64_t)options->rollup_every_s * 1000;
	h->days[TELEMETRY] = options->telemetry_days;
	h->days[EVENT] = options->event_days;
	h->days[ROLLUP] = options->rollup_days;
	h->days[QUARANTINE] = options->quarantine_days;
	h->days[COMMAND] = options->command_days;
	h->days[OUTPUT] = options->event_days;
	h->days[CHANGE] = options->rollup_days;
	h->slice_rows = SLICE_ROWS_MAX;
	h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->stop_fd < 0) {
		error_errno(error, errno, "cannot set up housekeeping");
		return NULL;
	}
	h->pg = pg_new(options->conninfo, "muster-ingest-housekeeping", error);
	if (!h->pg)
		return NULL;
	pg_on_connect(h->pg, on_connect, h);
	pg_interrupt_fd(h->pg, h->stop_fd);
	make_metrics(h, options->metrics);
	return steal(h);
}

void housekeeping_free(struct housekeeping *h)
{
	if (!h)
		return;
	if (h->started) {
		(void)eventfd_write(h->stop_fd, 1); // can only fail when it is readable already
		(void)pthread_join(h->thread, NULL);
	}
	pg_free(h->pg);
	if (h->stop_fd >= 0)
		(void)close(h->stop_fd);
	(void)pthread_mutex_destroy(&h->mutex);
	free(h);
}

// Sleeps; false when it is time to end.
static bool pause_ms(const struct housekeeping *h, int64_t ms)
{
	struct pollfd watch = {.fd = h->stop_fd, .events = POLLIN};
	int64_t until_ms = clock_mono_ms() + ms;
	for (;;) {
		int64_t left_ms = until_ms - clock_mono_ms();
		int ready = poll(&watch, 1, left_ms > 0 ? (int)left_ms : 0);
		if (ready > 0)
			return false;
		if (ready == 0 && left_ms <= 0)
			return true;
	}
}

static void add(struct housekeeping *h, const struct tally *more)
{
	(void)pthread_mutex_lock(&h->mutex);
	h->tally.rounds += more->rounds;
	h->tally.failures += more->failures;
	h->tally.rows += more->rows;
	h->tally.refused += more->refused;
	h->tally.partitions += more->partitions;
	h->tally.swept += more->swept;
	if (more->rounds > 0)
		h->tally.seconds = more->seconds;
	if (more->last_ms > 0)
		h->tally.last_ms = more->last_ms;
	(void)pthread_mutex_unlock(&h->mutex);
}

void housekeeping_report(struct housekeeping *h)
{
	(void)pthread_mutex_lock(&h->mutex);
	struct tally tally = h->tally;
	h->tally = (struct tally){.seconds = tally.seconds, .last_ms = tally.last_ms};
	(void)pthread_mutex_unlock(&h->mutex);
	metric_set(h->last_run, (double)tally.last_ms / 1000);
	metric_set(h->seconds, tally.seconds);
	metric_add(h->rounds, (double)tally.rounds);
	metric_add(h->failures, (double)tally.failures);
	metric_add(h->rows, (double)tally.rows);
	metric_add(h->refused, (double)tally.refused);
	metric_add(h->partitions, (double)tally.partitions);
	metric_add(h->swept, (double)tally.swept);
}

// ---- rollups ----

// A slice that does not get done in time is tried again with fewer rows.
static void size_slice(struct housekeeping *h, bool done, const struct error *error)
{
	if (done && h->slice_rows < SLICE_ROWS_MAX)
		h->slice_rows *= 2;
	else if (!done && pg_sqlstate_is(error, "57014") && h->slice_rows > SLICE_ROWS_MIN)
		h->slice_rows /= 2;
}

static bool take_slice(struct housekeeping *h, bool *more, struct error *error)
{
	auto_pg_result struct pg_result *result = NULL;
	struct error local = {0};
	bool done = PG_QUERY(h->pg, &result, &local, SLICE_SQL, number(h->slice_rows).text);
	size_slice(h, done, &local);
	if (!done) {
		*error = local;
		return false;
	}
	const struct tally tally = {.rows = pg_int(result, 0, 0), .refused = pg_int(result, 0, 1)};
	*more = pg_bool(result, 0, 2);
	add(h, &tally);
	return true;
}

// Catching up after an outage rests as long as it works, so that what comes in meanwhile has at least half the machine.
static bool roll_up(struct housekeeping *h, struct error *error)
{
	if (!pg_exec(h->pg, SUMMARIZE_SQL, error))
		return false;
	for (bool more = true; more;) {
		int64_t began_ms = clock_mono_ms();
		if (!take_slice(h, &more, error))
			return false;
		if (more && !pause_ms(h, clock_mono_ms() - began_ms))
			break;
	}
	return true;
}

// ---- partitions and retention ----

static bool make_partitions(struct housekeeping *h, struct error *error)
{
	return pg_exec(h->pg, PARTITIONS_SQL, error) &&
	       PG_QUERY(h->pg, NULL, error, ROLLUP_PARTITIONS_SQL, number(h->days[ROLLUP]).text);
}

// Whoever waits for the lock makes others wait, so each try is short, and there is time between two.
static bool drop_partitions(struct housekeeping *h, enum category category, struct error *error)
{
	for (unsigned tries = 0;;) {
		auto_pg_result struct pg_result *result = NULL;
		struct error local = {0};
		if (PG_QUERY(h->pg, &result, &local, DROP_SQL, category_names[category],
			     number(h->days[category]).text)) {
			const char *name = pg_text(result, 0, 0);
			if (!name)
				return true;
			add(h, &(const struct tally){.partitions = 1});
			log_info("partition.dropped", "partition", name);
			tries = 0;
			continue;
		}
		if (!pg_sqlstate_is(&local, "55P03") || ++tries == DROP_TRIES || !pause_ms(h, DROP_PAUSE_MS)) {
			*error = local;
			return error_prefix(error, "dropping a partition of %s", category_names[category]);
		}
	}
}

static bool sweep_once(struct housekeeping *h, enum category category, struct pg_result **out, struct error *error)
{
	if (category == OUTPUT || category == CHANGE)
		return PG_QUERY(h->pg, out, error, category == OUTPUT ? SWEEP_OUTPUT_SQL : SWEEP_CHANGES_SQL,
				number(h->days[category]).text, number(SWEEP_ROWS).text);
	return PG_QUERY(h->pg, out, error, SWEEP_SQL, category_names[category], number(h->days[category]).text,
			number(SWEEP_ROWS).text);
}

static bool sweep(struct housekeeping *h, enum category category, struct error *error)
{
	for (;;) {
		auto_pg_result struct pg_result *result = NULL;
		int64_t began_ms = clock_mono_ms();
		if (!sweep_once(h, category, &result, error))
			return error_prefix(error, "deleting what expired of %s", category_names[category]);
		const struct tally tally = {.swept = pg_int(result, 0, 0)};
		add(h, &tally);
		if (tally.swept < SWEEP_ROWS || !pause_ms(h, clock_mono_ms() - began_ms))
			return true;
	}
}

// ---- rounds ----

// Keeps the first of several errors.
static bool and_then(bool ok, bool done, const struct error *local, struct error *error)
{
	if (ok && !done && error)
		*error = *local;
	return ok && done;
}

// One step that fails keeps no other from being done: without new partitions, say, old ones still have to go.
static bool do_all(struct housekeeping *h, struct error *error)
{
	bool ok = true;
	bool due = clock_mono_ms() >= h->expired_ms;
	struct error local = {0};
	if (due)
		ok = and_then(ok, make_partitions(h, &local), &local, error);
	ok = and_then(ok, pg_exec(h->pg, SAMPLE_SQL, &local), &local, error);
	ok = and_then(ok, roll_up(h, &local), &local, error);
	if (!due)
		return ok;
	for (int category = 0; category < PARTITIONED; category++)
		ok = and_then(ok, drop_partitions(h, (enum category)category, &local), &local, error);
	for (int category = 0; category < CATEGORIES; category++)
		ok = and_then(ok, sweep(h, (enum category)category, &local), &local, error);
	h->expired_ms = clock_mono_ms() + (ok ? EXPIRED_EVERY_MS : RETRY_MS);
	return ok;
}

static bool locked(struct housekeeping *h, bool *mine, struct error *error)
{
	auto_pg_result struct pg_result *result = NULL;
	if (!pg_ready(h->pg, error) || !pg_query(h->pg, &result, error, LOCK_SQL, 0, NULL))
		return false;
	*mine = pg_bool(result, 0, 0);
	return true;
}

bool housekeeping_round(struct housekeeping *h, struct error *error)
{
	int64_t began_ms = clock_mono_ms();
	bool mine = false;
	bool ok = locked(h, &mine, error);
	h->elsewhere = ok && !mine;
	if (h->elsewhere)
		return true;
	ok = ok && do_all(h, error);
	if (mine && pg_connected(h->pg) && !pg_exec(h->pg, UNLOCK_SQL, NULL))
		pg_disconnect(h->pg); // which releases it, too
	const struct tally tally = {
		.rounds = 1,
		.failures = !ok,
		.seconds = (double)(clock_mono_ms() - began_ms) / 1000,
		.last_ms = ok ? clock_wall_ms() : 0,
	};
	add(h, &tally);
	return ok;
}

static int64_t wait_ms(const struct housekeeping *h, bool ok)
{
	int64_t most_ms = h->elsewhere ? ELSEWHERE_MS : RETRY_MS;
	return (ok && !h->elsewhere) || h->every_ms < most_ms ? h->every_ms : most_ms;
}

static void *run(void *user)
{
	struct housekeeping *h = user;
	bool ok;
	do {
		struct error error = {0};
		ok = housekeeping_round(h, &error);
		if (!pause_ms(h, 0))
			break; // a round that was cut short is no fault
		if (ok)
			log_fault_over(&h->fault, "housekeeping");
		else
			log_fault(&h->fault, "housekeeping", &error);
	} while (pause_ms(h, wait_ms(h, ok)));
	return NULL;
}

bool housekeeping_start(struct housekeeping *h, struct error *error)
{
	int code = pthread_create(&h->thread, NULL, run, h);
	if (code != 0)
		return error_errno(error, code, "cannot start housekeeping");
	h->started = true;
	return true;
}
