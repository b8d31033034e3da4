#include "commander/dispatch.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>

#define BATCH "500"
#define BATCH_MAX 500
#define LIST_MAX_BYTES 65536 // 500 ids with their commas

// The command at the head of each device's queue.
static const char heads_sql[] = "select distinct on (device) id, device, state, jws, request_id from command"
				" where state in ('queued', 'sent') and device = any ($1) and " CELL_HAS("command.device", "2")
	" order by device, n";
static const char all_heads_sql[] =
	"select id, device, state, jws, request_id from (select distinct on (device) id, device, state, jws, request_id"
	" from command where state in ('queued', 'sent') order by device, n) as head where state = 'queued' and "
	CELL_HAS("head.device", "1") " limit " BATCH;
static const char unanswered_sql[] =
	"select c.id, c.device, c.state, c.jws, c.request_id from command c join device_state s on s.device = c.device"
	" where c.state = 'sent' and s.presence = 'online' and c.sent_at < now() - make_interval(secs => $1)"
	" and " CELL_HAS("c.device", "2") " order by c.sent_at limit " BATCH;
enum column { ID, DEVICE, STATE, JWS, REQUEST_ID };

static const char resent_sql[] =
	"update command set sent_at = now(), attempts = attempts + 1 where id = any ($1) and state = 'sent'";

// Sends the queued heads; publishes those again that are sent already, if so told.
static bool send_heads(struct commander *commander, const struct pg_result *rows, bool again, struct error *error)
{
	struct transition moves[BATCH_MAX];
	size_t move_count = 0;
	auto_buf struct buf resent = {0};
	const char *params[1];

	buf_init(&resent, LIST_MAX_BYTES);
	for (size_t row = 0; row < pg_rows(rows) && row < BATCH_MAX; row++) {
		const char *id = pg_text(rows, row, ID);

		if (strcmp(pg_text(rows, row, STATE), command_state_name(STATE_QUEUED)) == 0) {
			moves[move_count++] =
				(struct transition){id, STATE_QUEUED, STATE_SENT, "publish", NULL, NULL, NULL, 0, 0, 0};
		} else if (again) {
			(void)buf_addf(&resent, "%c%s", resent.len_bytes == 0 ? '{' : ',', id);
			if (!moves_publish(commander, pg_text(rows, row, DEVICE), pg_text(rows, row, JWS),
					   pg_text(rows, row, REQUEST_ID), error))
				return false;
			metric_add(metrics_counter(commander->metrics, "muster_command_resends_total", NULL,
						   "Commands published again"),
				   1);
			log_debug("command.resent", "command", id, "device", pg_text(rows, row, DEVICE));
		}
	}
	if (!moves_make(commander, moves, move_count, NULL, error))
		return false;
	if (resent.len_bytes == 0)
		return true;
	(void)buf_add_str(&resent, "}");
	params[0] = buf_str(&resent);
	return pg_query(commander->pg, NULL, error, resent_sql, 1, params);
}

static bool run_devices(struct commander *commander, struct devices *devices, bool again, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf list = {0};
	const char *params[2];
	size_t count = devices->count < BATCH_MAX ? devices->count : BATCH_MAX;

	if (count == 0)
		return true;
	buf_init(&list, LIST_MAX_BYTES);
	devices_literal(devices, count, &list);
	params[0] = buf_str(&list);
	params[1] = commander->cell;
	if (!pg_query(commander->pg, &rows, error, heads_sql, 2, params) || !send_heads(commander, rows, again, error))
		return false;
	devices_drop(devices, count);
	return true;
}

static bool run_resend(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	char seconds[32];
	const char *params[] = {seconds, commander->cell};
	int64_t age_ms = commander->options->resend_s * 1000;

	if (!(commander->due & (DUE_RESEND | DUE_RESEND_ALL)))
		return true;
	// "All" are those sent before it became due, however many transactions it takes. An age, because the database's
	// clock may differ from ours.
	if (commander->due & DUE_RESEND_ALL)
		age_ms = clock_mono_ms() - commander->resend_all_ms;
	(void)snprintf(seconds, sizeof(seconds), "%.3f", (double)age_ms / 1000);
	if (!pg_query(commander->pg, &rows, error, unanswered_sql, 2, params) ||
	    !send_heads(commander, rows, true, error))
		return false;
	if (pg_rows(rows) < BATCH_MAX)
		commander->due &= ~(unsigned)(DUE_RESEND | DUE_RESEND_ALL);
	return true;
}

static bool run_all(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *params[] = {commander->cell};

	if (!(commander->due & DUE_DISPATCH))
		return true;
	if (!pg_query(commander->pg, &rows, error, all_heads_sql, 1, params) ||
	    !send_heads(commander, rows, false, error))
		return false;
	if (pg_rows(rows) < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_DISPATCH;
	return true;
}

bool dispatch_run(struct commander *commander, struct error *error)
{
	if (!mqtt_connected(commander->mqtt)) {
		// Connecting makes everything due again.
		devices_clear(&commander->online);
		devices_clear(&commander->freed);
		commander->due &= ~(unsigned)(DUE_DISPATCH | DUE_RESEND | DUE_RESEND_ALL);
		return true;
	}
	return (run_devices(commander, &commander->online, true, error) &&
		run_devices(commander, &commander->freed, false, error) && run_resend(commander, error) &&
		run_all(commander, error)) ||
	       error_prefix(error, "dispatching commands");
}
