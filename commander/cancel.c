#include "commander/cancel.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#include "common/action.h"

#include <stdio.h>
#include <string.h>

#define BATCH "500"
#define BATCH_MAX 500
#define LIST_MAX_BYTES 65536 // 500 ids with their commas

static const char select_sql[] =
	"select c.id, c.state, c.action, coalesce('cancelled by ' || c.cancel_requested_by, 'cancelled'), c.device "
	"from command c"
	" where c.cancel_requested_at is not null and not c.cancel_taken"
	" and c.state in ('requested', 'queued', 'sent', 'accepted', 'running') and " CELL_HAS(
		"c.device", "1") " order by c.cancel_requested_at limit " BATCH " for update skip locked";
enum column { ID, STATE, ACTION, REASON, DEVICE };

static const char taken_sql[] = "update command set cancel_taken = true where id = any ($1)";
// It may wait for its device as long as the command itself, and an hour for one that is busy with it.
static const char ask_sql[] =
	"insert into command (device, action, params, requested_by, source, request_id, cancels, confirmed, expires_at)"
	" select c.device, 'cancel', jsonb_build_object('command', c.id), coalesce(c.cancel_requested_by, "
	"c.requested_by),"
	" 'internal', c.request_id, c.id, true, least(greatest(c.expires_at, now() + interval '1 hour'),"
	" now() + interval '30 days') from command c where c.id = any ($1)";

static void add_id(struct buf *list, const char *id)
{
	(void)buf_addf(list, "%c%s", list->len_bytes == 0 ? '{' : ',', id);
}

static bool run_list(struct commander *commander, struct buf *list, const char *sql, struct error *error)
{
	const char *params[1];

	if (list->len_bytes == 0)
		return true;
	(void)buf_add_str(list, "}");
	params[0] = buf_str(list);
	return pg_query(commander->pg, NULL, error, sql, 1, params);
}

static bool may_ask(enum command_state state, const char *name)
{
	const struct action *action = action_find(name);

	return action && !action->internal && (state == STATE_SENT || action->cancellable);
}

bool cancel_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf asked = {0};
	auto_buf struct buf taken = {0};
	struct transition moves[BATCH_MAX];
	size_t count = 0;
	const char *params[] = {commander->cell};

	if (!pg_query(commander->pg, &rows, error, select_sql, 1, params))
		return error_prefix(error, "reading commands to be cancelled");
	if (pg_rows(rows) < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_CANCEL;
	buf_init(&asked, LIST_MAX_BYTES);
	buf_init(&taken, LIST_MAX_BYTES);
	for (size_t row = 0; row < pg_rows(rows) && count < BATCH_MAX; row++) {
		const char *id = pg_text(rows, row, ID);
		enum command_state state;

		if (!command_state_parse(pg_text(rows, row, STATE), &state))
			continue;
		add_id(&taken, id);
		if (state == STATE_REQUESTED || state == STATE_QUEUED)
			moves[count++] = (struct transition){.command = id,
							     .from = state,
							     .to = STATE_CANCELLED,
							     .cause = "cancel",
							     .reason = pg_text(rows, row, REASON)};
		else if (may_ask(state, pg_text(rows, row, ACTION)))
			add_id(&asked, id);
		else
			log_warn("command.not_cancellable", "command", id, "device", pg_text(rows, row, DEVICE),
				 "action", pg_text(rows, row, ACTION), "state", command_state_name(state));
	}
	if (asked.len_bytes > 0)
		commander->due |= DUE_REQUESTS;
	return (run_list(commander, &taken, taken_sql, error) && run_list(commander, &asked, ask_sql, error) &&
		moves_make(commander, moves, count, NULL, error)) ||
	       error_prefix(error, "cancelling commands");
}
