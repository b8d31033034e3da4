#include "commander/dispatch.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/issue.h"
#include "commander/moves.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>

#define BATCH "500"
#define BATCH_MAX 500
// Devices that came online, in one transaction: each may have as many commands under way as issue.c lets go.
#define ONLINE_MAX 100
#define LIST_MAX_BYTES 65536 // 500 ids with their commas
#define BACKOFF_MAX "900"    // seconds

// Scheduled commands whose time has come.
static const char due_sql[] =
	"update command set held = false where id = any (array(select id from command where state = 'queued' and held"
	" and next_at <= now() and " CELL_HAS("command.device", "1") " order by next_at limit " BATCH
								 " for update skip locked)) returning device";
// Devices of which a command may go.
static const char ready_sql[] =
	"select distinct c.device from command c join device d on d.device = c.device where c.state = 'queued' and not"
	" c.held and c.expires_at > now() and (c.cancels is not null or d.command_policy = 'burst'"
	" or not exists (select from command o where o.device = c.device and o.state in ('sent', 'accepted', 'running')"
	" and o.cancels is null))"
	" and " CELL_HAS("c.device", "1") " limit " BATCH;

#define AGAIN(set, where)                                                                                              \
	"with u as (update command c set sent_at = now(), attempts = attempts + 1" set " where " where                 \
	" returning c.id, c.device, c.jws, c.request_id, c.n, c.retries) select u.id, u.device, u.jws, u.request_id,"  \
	" u.retries > 1 and exists (select from command l where l.device = u.device and l.n > u.n and l.state in"      \
	" ('accepted', 'running', 'succeeded', 'failed', 'rejected')) from u order by u.device, u.n"
static const char online_sql[] = AGAIN("", "c.state = 'sent' and c.device = any ($1) and " CELL_HAS("c.device", "2"));
// Sent before that long; perhaps by a commander that was killed before it had published it.
static const char all_sql[] =
	AGAIN("", "c.id = any (array(select o.id from command o join device_state s on s.device = o.device"
		  " where o.state = 'sent' and s.presence = 'online' and o.sent_at < now() - make_interval(secs => $1) "
		  "and " CELL_HAS("o.device", "2") " order by o.sent_at limit " BATCH " for update of o skip locked))");
// $1: seconds before the first repetition; each doubles them, give or take a quarter.
static const char silent_sql[] = AGAIN(
	", retries = retries + 1, next_at = now() + make_interval(secs => least($1 * power(2, least(retries + 1, "
	"20)), " BACKOFF_MAX ") * (0.75 + random() / 2))",
	"c.id = any (array(select o.id from command o join device_state s on s.device = o.device"
	" where o.state = 'sent' and o.next_at <= now() and s.presence = 'online' and o.retries + 1 < o.max_attempts "
	"and " CELL_HAS("o.device", "2") " order by o.next_at limit " BATCH " for update of o skip locked))");
enum column { ID, DEVICE, JWS, REQUEST_ID, OVERTAKEN };

static const char spent_sql[] =
	"select c.id, format('published %s times while the device was online, which did not accept it; muster device"
	" show says how it is', c.retries + 1) from command c join device_state s on s.device = c.device"
	" where c.state = 'sent' and c.next_at <= now() and s.presence = 'online' and c.retries + 1 >= c.max_attempts "
	"and " CELL_HAS("c.device", "1") " limit " BATCH " for update of c skip locked";

static bool publish_again(struct commander *commander, const struct pg_result *rows, size_t row, struct error *error)
{
	metric_add(
		metrics_counter(commander->metrics, "muster_command_resends_total", NULL, "Commands published again"),
		1);
	log_debug("command.resent", "command", pg_text(rows, row, ID), "device", pg_text(rows, row, DEVICE));
	return moves_publish(commander, pg_text(rows, row, DEVICE), pg_text(rows, row, JWS),
			     pg_text(rows, row, REQUEST_ID), error);
}

// Each row once more; with requeue, one whose device has taken a later command meanwhile gets a new number instead, for
// with the old one it would be refused. *count: how many rows.
static bool again(struct commander *commander, const char *sql, const char *first, bool requeue, size_t *count,
		  struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct transition moves[BATCH_MAX];
	size_t move_count = 0;
	const char *params[] = {first, commander->cell};

	if (!pg_query(commander->pg, &rows, error, sql, 2, params))
		return false;
	*count = pg_rows(rows);
	for (size_t row = 0; row < pg_rows(rows); row++) {
		if (requeue && pg_bool(rows, row, OVERTAKEN) && move_count < BATCH_MAX)
			moves[move_count++] = (struct transition){.command = pg_text(rows, row, ID),
								  .from = STATE_SENT,
								  .to = STATE_QUEUED,
								  .cause = "overtaken"};
		else if (!publish_again(commander, rows, row, error))
			return false;
	}
	return moves_make(commander, moves, move_count, NULL, error);
}

static bool run_online(struct commander *commander, struct error *error)
{
	auto_buf struct buf list = {0};
	struct devices *online = &commander->online;
	size_t count = online->count < ONLINE_MAX ? online->count : ONLINE_MAX;
	size_t published = 0;

	if (count == 0)
		return true;
	buf_init(&list, LIST_MAX_BYTES);
	devices_literal(online, count, &list);
	if (!again(commander, online_sql, buf_str(&list), false, &published, error))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!devices_add(&commander->freed, online->ids[i]))
			commander->due |= DUE_DISPATCH;
	}
	devices_drop(online, count);
	return true;
}

static bool run_freed(struct commander *commander, struct error *error)
{
	auto_buf struct buf list = {0};
	struct devices *freed = &commander->freed;
	size_t count = freed->count < BATCH_MAX ? freed->count : BATCH_MAX;
	bool more = false;

	if (count == 0)
		return true;
	buf_init(&list, LIST_MAX_BYTES);
	devices_literal(freed, count, &list);
	if (!issue_run(commander, buf_str(&list), &more, error))
		return false;
	if (!more)
		devices_drop(freed, count);
	return true;
}

static bool expire_spent(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct transition moves[BATCH_MAX];
	size_t count = 0;
	const char *params[] = {commander->cell};

	if (!pg_query(commander->pg, &rows, error, spent_sql, 1, params))
		return false;
	for (size_t row = 0; row < pg_rows(rows) && count < BATCH_MAX; row++)
		moves[count++] = (struct transition){.command = pg_text(rows, row, 0),
						     .from = STATE_SENT,
						     .to = STATE_EXPIRED,
						     .cause = "attempts",
						     .reason = pg_text(rows, row, 1)};
	return moves_make(commander, moves, count, NULL, error);
}

static bool run_resend(struct commander *commander, struct error *error)
{
	char seconds[32];
	size_t count = 0;

	if (commander->due & DUE_RESEND_ALL) {
		// "All" are those sent before it became due, however many transactions it takes. An age, because the
		// database's clock may differ from ours.
		(void)snprintf(seconds, sizeof(seconds), "%.3f",
			       (double)(clock_mono_ms() - commander->resend_all_ms) / 1000);
		if (!again(commander, all_sql, seconds, false, &count, error))
			return false;
		if (count < BATCH_MAX)
			commander->due &= ~(unsigned)DUE_RESEND_ALL;
	}
	if (!(commander->due & DUE_RESEND))
		return true;
	(void)snprintf(seconds, sizeof(seconds), "%ld", commander->options->resend_s);
	if (!expire_spent(commander, error) || !again(commander, silent_sql, seconds, true, &count, error))
		return false;
	if (count < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_RESEND;
	return true;
}

// Adds the devices of a query to those looked at next. *count: how many rows.
static bool add_devices(struct commander *commander, const char *sql, size_t *count, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *params[] = {commander->cell};

	if (!pg_query(commander->pg, &rows, error, sql, 1, params))
		return false;
	*count = pg_rows(rows);
	for (size_t row = 0; row < pg_rows(rows); row++) {
		if (!devices_add(&commander->freed, pg_text(rows, row, 0)))
			commander->due |= DUE_DISPATCH;
	}
	return true;
}

static bool run_scheduled(struct commander *commander, struct error *error)
{
	size_t count = 0;

	if (!(commander->due & DUE_SCHEDULE))
		return true;
	if (!add_devices(commander, due_sql, &count, error))
		return false;
	if (count < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_SCHEDULE;
	return true;
}

static bool run_all(struct commander *commander, struct error *error)
{
	size_t count = 0;

	if (!(commander->due & DUE_DISPATCH) || commander->freed.count > 0)
		return true;
	if (!add_devices(commander, ready_sql, &count, error))
		return false;
	if (count < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_DISPATCH;
	return true;
}

bool dispatch_run(struct commander *commander, struct error *error)
{
	if (!mqtt_connected(commander->mqtt)) {
		// Connecting makes everything due again.
		devices_clear(&commander->online);
		devices_clear(&commander->freed);
		commander->due &= ~(unsigned)(DUE_DISPATCH | DUE_RESEND | DUE_RESEND_ALL | DUE_SCHEDULE);
		return true;
	}
	return (run_scheduled(commander, error) && run_online(commander, error) && run_resend(commander, error) &&
		run_all(commander, error) && run_freed(commander, error)) ||
	       error_prefix(error, "dispatching commands");
}
