#include "commander/expiry.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#define BATCH "500"
#define BATCH_MAX 500

// The time limit says until when a device may begin. A command that was sent gets a few seconds more, for the answer of
// a device that began in time; one that a device has taken on is given up only when its result is a day late. An answer
// that comes later still is applied (transition.h).
static const char select_sql[] =
	"select id, state from command where state in ('queued', 'sent', 'accepted', 'running') and expires_at <= now()"
	" and expires_at <= now() - case state when 'queued' then interval '0' when 'sent' then interval '5 seconds'"
	" else interval '1 day' end and " CELL_HAS("command.device", "1")
	" order by expires_at limit " BATCH " for update skip locked";

bool expiry_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct transition moves[BATCH_MAX];
	size_t count = 0;
	const char *params[] = {commander->cell};

	if (!pg_query(commander->pg, &rows, error, select_sql, 1, params))
		return error_prefix(error, "reading expired commands");
	if (pg_rows(rows) < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_EXPIRY;
	for (size_t row = 0; row < pg_rows(rows) && count < BATCH_MAX; row++) {
		enum command_state state;

		if (!command_state_parse(pg_text(rows, row, 1), &state))
			continue;
		moves[count++] = (struct transition){
			.command = pg_text(rows, row, 0),
			.from = state,
			.to = STATE_EXPIRED,
			.cause = "timer",
			.reason = state == STATE_QUEUED || state == STATE_SENT
					  ? "not answered in time"
					  : "no result within a day of its time limit",
		};
	}
	return moves_make(commander, moves, count, NULL, error);
}
