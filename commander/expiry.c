#include "commander/expiry.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#define BATCH "500"
#define BATCH_MAX 500

// Of each state, until when it may last (index command_timer). The time limit of a command says until when a device may
// begin; one that was sent gets a few seconds more, for the answer of a device that began in time; one that a device
// has taken on gets what its action may need. An answer that comes later still is applied (transition.h).
#define TIMER                                                                                                          \
	"(case when state = 'sent' then accept_by when state in ('accepted', 'running') then finish_by else "          \
	"expires_at end)"
static const char select_sql[] =
	"select id, state, coalesce(in_window and expires_at > now(), false), coalesce((extract(epoch from w.opens - "
	"now()) * 1000)"
	"::bigint, 0), cancel_requested_at is not null from command c left join device d on d.device = c.device"
	" left join lateral (select opens from next_window(d.time_zone, d.maintenance_window, now()) where "
	"c.in_window) w on true"
	" where state in ('requested', 'queued', 'sent', 'accepted', 'running') and " TIMER
	" <= now() and " CELL_HAS("c.device", "1") " order by " TIMER " limit " BATCH " for update of c skip locked";
enum column { ID, STATE, MORE_WINDOWS, OPENS_MS, CANCELLING };

static const char *why(enum command_state state, bool cancelling)
{
	if (cancelling && state == STATE_SENT)
		return "not accepted in time; it was to be cancelled";
	if (state == STATE_ACCEPTED || state == STATE_RUNNING)
		return "accepted, but no result within the time that its action has";
	return "not answered in time";
}

static bool judge(const struct pg_result *rows, size_t row, struct transition *move)
{
	enum command_state state;

	if (!command_state_parse(pg_text(rows, row, STATE), &state))
		return false;
	*move = (struct transition){
		.command = pg_text(rows, row, ID),
		.from = state,
		.to = STATE_EXPIRED,
		.cause = "timer",
		.reason = why(state, pg_bool(rows, row, CANCELLING)),
	};
	if (state == STATE_SENT && pg_bool(rows, row, MORE_WINDOWS) && !pg_bool(rows, row, CANCELLING)) {
		move->to = STATE_QUEUED;
		move->cause = "window";
		move->reason = NULL;
		move->next_ms = pg_int(rows, row, OPENS_MS);
	}
	return true;
}

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
	for (size_t row = 0; row < pg_rows(rows) && count < BATCH_MAX; row++)
		count += judge(rows, row, &moves[count]);
	return moves_make(commander, moves, count, NULL, error);
}
