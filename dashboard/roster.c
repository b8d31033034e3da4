#include "dashboard/roster.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/pg.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define PAUSE_MIN_MS 300
#define PAUSE_MAX_MS 2000
#define PAUSE_FACTOR 10 // of what a turn took
#define RETRY_MS 2000

// Rows of one transaction: some 50 ms, for which a change of tags may have to wait.
static const char REFRESH_SQL[] = "select refresh_roster(5000)";
static const char SESSION_SQL[] = "set lock_timeout = '2s'; set statement_timeout = '30s'";

struct roster {
	struct pg *pg;
	int stop_fd; // readable: end
	pthread_t thread;
	bool started;
	struct log_fault fault;
};

static bool on_connect(struct pg *pg, void *user, struct error *error)
{
	return pg_exec(pg, SESSION_SQL, error);
}

struct roster *roster_new(const char *conninfo, struct error *error)
{
	struct roster *roster cleanup(roster_free_cleanup) = calloc(1, sizeof(*roster));

	if (!roster) {
		error_errno(error, ENOMEM, "cannot set up the roster");
		return NULL;
	}
	roster->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (roster->stop_fd < 0) {
		error_errno(error, errno, "cannot set up the roster");
		return NULL;
	}
	roster->pg = pg_new(conninfo, "muster-dashboard-roster", error);
	if (!roster->pg)
		return NULL;
	pg_on_connect(roster->pg, on_connect, roster);
	pg_interrupt_fd(roster->pg, roster->stop_fd);
	return steal(roster);
}

void roster_free(struct roster *roster)
{
	if (!roster)
		return;
	if (roster->started) {
		(void)eventfd_write(roster->stop_fd, 1); // can only fail when it is readable already
		(void)pthread_join(roster->thread, NULL);
	}
	pg_free(roster->pg);
	if (roster->stop_fd >= 0)
		(void)close(roster->stop_fd);
	free(roster);
}

// False when it is time to end.
static bool pause_ms(const struct roster *roster, int64_t ms)
{
	int64_t until_ms = clock_mono_ms() + ms;

	for (;;) {
		struct pollfd watch = {.fd = roster->stop_fd, .events = POLLIN};
		int64_t left_ms = until_ms - clock_mono_ms();

		if (poll(&watch, 1, left_ms > 0 ? (int)left_ms : 0) > 0)
			return false;
		if (left_ms <= 0)
			return true;
	}
}

static bool refresh(struct roster *roster, struct error *error)
{
	for (bool more = true; more;) {
		auto_pg_result struct pg_result *row = NULL;

		if (!pg_ready(roster->pg, error) || !pg_query(roster->pg, &row, error, REFRESH_SQL, 0, NULL))
			return false;
		more = pg_bool(row, 0, 0);
	}
	return true;
}

static void *run(void *user)
{
	struct roster *roster = user;
	int64_t wait_ms = 0;

	do {
		struct error error = {0};
		int64_t began_ms = clock_mono_ms();
		bool ok = refresh(roster, &error);

		if (!pause_ms(roster, 0))
			break; // what was cut short is no fault
		if (ok)
			log_fault_over(&roster->fault, "roster");
		else
			log_fault(&roster->fault, "roster", &error);
		wait_ms = PAUSE_FACTOR * (clock_mono_ms() - began_ms);
		wait_ms = !ok			   ? RETRY_MS
			  : wait_ms < PAUSE_MIN_MS ? PAUSE_MIN_MS
			  : wait_ms > PAUSE_MAX_MS ? PAUSE_MAX_MS
						   : wait_ms;
	} while (pause_ms(roster, wait_ms));
	return NULL;
}

bool roster_start(struct roster *roster, struct error *error)
{
	int code = pthread_create(&roster->thread, NULL, run, roster);

	if (code != 0)
		return error_errno(error, code, "cannot start the roster");
	roster->started = true;
	return true;
}
