#include "tools/bench/asking.h"

#include "common/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_TIMEOUT_MS 120000

static const char sql_ask[] =
	"insert into command (device, action, requested_by, source) values ($1, 'ping', 'bench', 'sql') returning id";
static const char sql_limit[] = "insert into command_limit (requester, per_minute) values ('bench', 1000000)"
				" on conflict (requester) do nothing";
static const char sql_state[] =
	"select (select state from command where id = $1::text::uuid), exists (select from command_result"
	" where device = $2 and command = $1::text and state = 'succeeded')";

static double now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void take_note(void *user, const char *channel, const char *payload)
{
	bool *heard = user;
	*heard = true;
}

// Sleeps until ingest or commander have committed something. It may have come in with the answer to the last query, and
// then the socket has nothing more to say.
static bool wait_news(struct pg *pg, struct error *error)
{
	struct pollfd watch = {.fd = pg_fd(pg), .events = POLLIN};
	bool heard = false;
	if (!pg_notifications(pg, take_note, &heard, error) || heard)
		return heard;
	if (poll(&watch, 1, ANSWER_TIMEOUT_MS) <= 0)
		return error_set(error, ERROR_TIMEOUT, "a command is not answered");
	return pg_notifications(pg, take_note, &heard, error);
}

bool asking_begin(struct pg *pg, struct error *error)
{
	return pg_exec(pg, sql_limit, error) && pg_exec(pg, "listen muster_result; listen muster_command", error);
}

bool asking_end(struct pg *pg, struct error *error)
{
	return pg_exec(pg, "unlisten *", error);
}

bool asking_once(struct pg *pg, const char *device, struct asking *out, struct error *error)
{
	auto_pg_result struct pg_result *made = NULL;
	double start_ms = now_ms();
	*out = (struct asking){.stored_ms = 0};
	if (!PG_QUERY(pg, &made, error, sql_ask, device))
		return false;
	(void)snprintf(out->id, sizeof(out->id), "%s", pg_text(made, 0, 0));
	for (;;) {
		auto_pg_result struct pg_result *state = NULL;
		if (!PG_QUERY(pg, &state, error, sql_state, out->id, device))
			return false;
		if (out->stored_ms <= 0 && pg_bool(state, 0, 1))
			out->stored_ms = now_ms() - start_ms;
		if (strcmp(pg_text(state, 0, 0), "succeeded") == 0) {
			out->closed_ms = now_ms() - start_ms;
			return true;
		}
		if (strcmp(pg_text(state, 0, 0), "rejected") == 0)
			return error_set(error, ERROR_FAILED, "device %s: a command was rejected", device);
		if (!wait_news(pg, error))
			return error_prefix(error, "device %s, %s", device, pg_text(state, 0, 0));
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

void asking_sort(double *times_ms, long count)
{
	qsort(times_ms, (size_t)count, sizeof(*times_ms), by_size);
}

double asking_percentile(const double *sorted_ms, long count, double share)
{
	return count > 0 ? sorted_ms[(long)(share * (double)(count - 1) + 0.5)] : 0;
}
