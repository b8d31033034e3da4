// How nothing is missed: changed_at is set when a transaction begins, so a later commit may carry an earlier time. Each
// query therefore looks back OVERLAP_US behind the time of the one before it, and what that one gave already is not
// fresh.
#include "dashboard/feed.h"

#include "dashboard/alerts.h"
#include "dashboard/api.h"
#include "dashboard/audit.h"
#include "dashboard/auth.h"
#include "dashboard/campaigns.h"
#include "dashboard/commands.h"
#include "dashboard/dashboard.h"
#include "dashboard/devices.h"
#include "dashboard/events.h"
#include "dashboard/exports.h"
#include "dashboard/outputs.h"
#include "dashboard/registrations.h"
#include "dashboard/scope.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERLAP_US 1000000
#define KEY_MAX 160

static const char NOW_SQL[] = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
const struct feed_source feed_sources[FEED_KINDS] = {
	[FEED_DEVICES] = {"devices", devices_changed_sql, {"muster_state"}, FEED_BY_DEVICE, ACCESS_READ},
	[FEED_COMMANDS] = {"commands", commands_changed_sql, {"muster_command"}, FEED_BY_DEVICE, ACCESS_READ},
	[FEED_EVENTS] = {"events", events_changed_sql, {"muster_state"}, FEED_NAMED_ONLY, ACCESS_READ},
	[FEED_OUTPUTS] = {"outputs", outputs_changed_sql, {"muster_state"}, FEED_NAMED_ONLY, ACCESS_READ},
	[FEED_REGISTRATIONS] = {"registrations", registrations_changed_sql, {"muster_registration"}, FEED_UNBOUND,
				ACCESS_READ},
	[FEED_CAMPAIGNS] = {"campaigns", campaigns_changed_sql, {"muster_campaign_change"}, FEED_UNBOUND, ACCESS_READ},
	[FEED_AUDIT] = {"audit", audit_changed_sql, {"muster_audit"}, FEED_UNBOUND, ROLE_ADMINISTRATOR | ROLE_AUDITOR},
	[FEED_ALERTS] = {"alerts", alerts_changed_sql, {"muster_alert"}, FEED_BY_DEVICE, ACCESS_READ},
	[FEED_EXPORTS] = {"exports", exports_changed_sql, {"muster_export"}, FEED_OWN, ACCESS_READ},
};

struct sent {
	char key[KEY_MAX];
	int64_t changed_us;
};

// What one query of a kind gave the last time.
struct past {
	int64_t asked_us;
	struct sent *sent; // by key
	size_t count;
};

enum { OF_ANY, OF_NAMED, PASTS };

struct feed {
	struct dashboard *dashboard;
	struct feed_owner owner;
	struct pg *pg;
	struct loop_watch *watch; // of the connection's descriptor; NULL while there is none
	int64_t ahead_us;	  // the database's clock less our monotonic one
	unsigned due;
	bool away;
	struct past pasts[FEED_KINDS][PASTS];
	struct log_fault fault;
	struct metric *statements;
};

// ---- the connection ----

static void on_notification(void *user, const char *channel, const char *payload)
{
	struct feed *feed = user;

	for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
		for (size_t i = 0; i < 2 && feed_sources[kind].channels[i]; i++) {
			if (strcmp(feed_sources[kind].channels[i], channel) == 0)
				feed->due |= 1U << kind;
		}
	}
	feed->owner.due(feed->owner.user);
}

bool feed_hear(struct feed *feed, struct error *error)
{
	return pg_notifications(feed->pg, on_notification, feed, error);
}

static void set_away(struct feed *feed, bool away)
{
	bool changed = feed->away != away;

	feed->away = away;
	if (changed)
		feed->owner.away(feed->owner.user, away);
}

void feed_lost(struct feed *feed, const struct error *error)
{
	log_fault(&feed->fault, "stream.database", error);
	loop_watch_free(feed->watch);
	feed->watch = NULL;
	pg_disconnect(feed->pg);
	set_away(feed, true);
	feed->owner.due(feed->owner.user);
}

static void on_readable(int fd, int ready, void *user)
{
	struct error error = {0};

	if (!feed_hear(user, &error))
		feed_lost(user, &error);
}

// Sees every row there is: who may see it is judged stream by stream.
static bool on_connect(struct pg *pg, void *user, struct error *error)
{
	bool ok = api_on_connect(pg, user, error) && scope_enter_all(pg, error);

	for (enum feed_kind kind = 0; ok && kind < FEED_KINDS; kind++) {
		for (size_t i = 0; ok && i < 2 && feed_sources[kind].channels[i]; i++) {
			char listen[64];

			(void)snprintf(listen, sizeof(listen), "listen %s", feed_sources[kind].channels[i]);
			ok = pg_exec(pg, listen, error);
		}
	}
	return ok;
}

bool feed_ready(struct feed *feed)
{
	struct error error = {0};

	if (!pg_ready(feed->pg, &error)) {
		feed_lost(feed, &error);
		return false;
	}
	if (!feed->watch) {
		feed->watch =
			loop_watch_new(feed->dashboard->loop, pg_fd(feed->pg), LOOP_READ, on_readable, feed, &error);
		if (!feed->watch || !feed_set_clock(feed, &error)) {
			feed_lost(feed, &error);
			return false;
		}
		feed->due = (1U << FEED_KINDS) - 1;
	}
	log_fault_over(&feed->fault, "stream.database");
	set_away(feed, false);
	return true;
}

bool feed_is_away(const struct feed *feed)
{
	return feed->away;
}

struct pg *feed_pg(struct feed *feed)
{
	return feed->pg;
}

// ---- time ----

int64_t feed_now_us(const struct feed *feed)
{
	return clock_mono_ms() * 1000 + feed->ahead_us;
}

bool feed_set_clock(struct feed *feed, struct error *error)
{
	auto_pg_result struct pg_result *now = NULL;

	if (!pg_query(feed->pg, &now, error, NOW_SQL, 0, NULL))
		return false;
	feed->ahead_us = pg_int(now, 0, 0) - clock_mono_ms() * 1000;
	return true;
}

void feed_skip(struct feed *feed, enum feed_kind kind, bool named)
{
	feed->pasts[kind][named ? OF_NAMED : OF_ANY].asked_us = feed_now_us(feed);
}

unsigned feed_due_kinds(const struct feed *feed)
{
	return feed->due;
}

// ---- rows ----

void feed_rows_done(struct feed_rows *rows)
{
	pg_result_free(rows->result);
	free(rows->rows);
	*rows = (struct feed_rows){0};
}

static int compare_sent(const void *a, const void *b)
{
	return strcmp(((const struct sent *)a)->key, ((const struct sent *)b)->key);
}

static bool was_sent(const struct past *past, const struct sent *row)
{
	const struct sent *found =
		past->count == 0 ? NULL : bsearch(row, past->sent, past->count, sizeof(*row), compare_sent);

	return found && found->changed_us == row->changed_us;
}

static bool read_rows(struct feed *feed, enum feed_kind kind, const char *devices, int64_t since_us, int max,
		      struct feed_rows *out, struct error *error)
{
	char since[24], limit[24];

	(void)snprintf(since, sizeof(since), "%" PRId64, since_us);
	(void)snprintf(limit, sizeof(limit), "%d", max + 1);
	metric_add(feed->statements, 1);
	if (!PG_QUERY(feed->pg, &out->result, error, feed_sources[kind].sql, since, limit, devices))
		return false;
	out->count = pg_rows(out->result);
	out->rows = calloc(out->count + 1, sizeof(*out->rows));
	if (!out->rows)
		return error_set(error, ERROR_FAILED, "out of memory");
	for (size_t i = 0; i < out->count; i++)
		out->rows[i] = (struct feed_row){.key = pg_text(out->result, i, 0),
						 .changed_us = pg_int(out->result, i, 1),
						 .json = pg_text(out->result, i, 2),
						 .device = pg_text(out->result, i, 3),
						 .tenant = pg_text(out->result, i, 4),
						 .groups = pg_text(out->result, i, 5),
						 .fresh = true};
	out->more = out->count > (size_t)max;
	out->whole_us = out->more ? out->rows[out->count - 1].changed_us : since_us;
	return true;
}

// Marks what is new among rows, and remembers all of them in place of those before.
static bool remember(struct past *past, struct feed_rows *rows, struct error *error)
{
	struct sent *seen = calloc(rows->count + 1, sizeof(*seen));

	if (!seen)
		return error_set(error, ERROR_FAILED, "out of memory");
	for (size_t i = 0; i < rows->count; i++) {
		(void)snprintf(seen[i].key, sizeof(seen[i].key), "%s", rows->rows[i].key);
		seen[i].changed_us = rows->rows[i].changed_us;
		rows->rows[i].fresh = !was_sent(past, &seen[i]);
	}
	qsort(seen, rows->count, sizeof(*seen), compare_sent);
	free(past->sent);
	past->sent = seen;
	past->count = rows->count;
	return true;
}

bool feed_changes(struct feed *feed, enum feed_kind kind, const char *devices, struct feed_rows *out,
		  struct error *error)
{
	struct past *past = &feed->pasts[kind][devices ? OF_NAMED : OF_ANY];
	int64_t now_us = feed_now_us(feed);
	int max = devices ? FEED_NAMED_MAX : FEED_CHANGES_MAX;

	feed->due &= ~(1U << kind);
	if (!read_rows(feed, kind, devices, past->asked_us - OVERLAP_US, max, out, error) ||
	    !remember(past, out, error))
		return false;
	past->asked_us = now_us;
	return true;
}

bool feed_again(struct feed *feed, enum feed_kind kind, const char *devices, int64_t since_us, struct feed_rows *out,
		struct error *error)
{
	return read_rows(feed, kind, devices, since_us, FEED_NAMED_MAX, out, error);
}

// ---- making ----

struct feed *feed_new(struct dashboard *dashboard, const struct feed_owner *owner, struct error *error)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (!feed) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	feed->dashboard = dashboard;
	feed->owner = *owner;
	feed->statements = metrics_counter(dashboard->metrics, "muster_dashboard_stream_statements_total", NULL,
					   "Statements that asked for changes, for all live streams together.");
	feed->pg = pg_new(dashboard->config.database_conninfo, "muster-dashboard stream", error);
	if (!feed->pg) {
		feed_free(feed);
		return NULL;
	}
	pg_on_connect(feed->pg, on_connect, NULL);
	pg_set_timeout(feed->pg, API_ANSWER_TIMEOUT_MS);
	return feed;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	loop_watch_free(feed->watch);
	pg_free(feed->pg);
	for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
		for (size_t i = 0; i < PASTS; i++)
			free(feed->pasts[kind][i].sent);
	}
	free(feed);
}
