#include "commander/retell.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/reply.h"

// The columns of enum moved. "The last seconds before" are counted from the last move that there was, however long ago.
static const char select_sql[] =
	"with last as (select changed_at from command where state <> 'requested' order by changed_at desc limit 1)"
	" select 0, c.id, c.device, c.action, c.state, c.request_id, c.reply_topic, encode(c.correlation, 'hex'),"
	" c.reason, c.result, null, (extract(epoch from c.changed_at) * 1000)::bigint from command c, last"
	" where c.changed_at >= last.changed_at - interval '10 seconds' and c.changed_at > now() - interval '1 day'"
	" and c.state <> 'requested' and c.reply_topic is not null and " CELL_HAS(
		"c.device", "1") " order by c.changed_at desc limit 1000";

bool retell_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *params[] = {commander->cell};

	if (!pg_query(commander->pg, &rows, error, select_sql, 1, params))
		return error_prefix(error, "reading what operators may not have heard");
	for (size_t row = pg_rows(rows); row > 0; row--) {
		if (!reply_moved(&commander->outgoing, rows, row - 1, error))
			return false;
	}
	commander->due &= ~(unsigned)DUE_RETELL;
	return true;
}
