#include "ingest/ledger.h"

#include "ingest/gap.h"
#include "ingest/repetition.h"

#define STAGE_SQL                                                                                          \
	"create temporary table stage_epoch (number integer, device " DEVICE_TYPE ", epoch " EPOCH_TYPE ", " \
	"first bigint, last bigint, highest bigint, received bigint, repeated bigint, late bigint) "       \
	"on commit delete rows"

#define COPY_EPOCH_SQL "copy stage_epoch from stdin (format binary)"

#define MARKS "l.contiguous, l.highest, l.contiguous_before, l.highest_before, l.gaps"

// first and last are the first run of seqs; highest is the end of the last.
#define MOVE_SQL                                                                                                      \
	"update ledger l set contiguous = case when s.first <= l.contiguous + 1 then greatest(l.contiguous, s.last) " \
	"else l.contiguous end, contiguous_before = l.contiguous, "                                                    \
	"highest = greatest(l.highest, s.highest), highest_before = l.highest, "                                      \
	"first_seq = case when l.first_seq = 0 then coalesce(s.first, 0) else least(l.first_seq, s.first) end, "      \
	"late = l.late + case when s.first > l.highest then s.late else 0 end, "                                      \
	"received = l.received + s.received, duplicates = l.duplicates + s.repeated, last_at = now() "                \
	"from stage_epoch s where l.device = s.device and l.epoch = s.epoch "                                         \
	"returning s.number, " MARKS

// Epochs seen for the first time. Finding their numbers would be a join of two lists without an index.
#define BEGIN_SQL                                                                                                     \
	"insert into ledger as l (device, epoch, contiguous, highest, first_seq, late, received, duplicates) "        \
	"select device, epoch, case when first = 1 then last else 0 end, highest, coalesce(first, 0), late, "         \
	"received, repeated from stage_epoch s "                                                                      \
	"where not exists (select from ledger o where o.device = s.device and o.epoch = s.epoch) "                    \
	"on conflict do nothing returning device, epoch, " MARKS

// Every seq of one epoch (c) and range that is in a table or came with this batch (some leave no row of their own:
// inventories and what was quarantined).
#define PRESENT_SQL(from, to)                                                                                     \
	"select seq from telemetry t where t.device = c.device and t.epoch = c.epoch and t.seq between " from     \
	" and " to " union select seq from event t where t.device = c.device and t.epoch = c.epoch "              \
	"and t.seq between " from " and " to " union select seq from command_result t where t.device = c.device " \
	"and t.epoch = c.epoch and t.seq between " from " and " to                                                \
	" union select seq from unnest(g.runs::int8multirange) r, "                                               \
	"generate_series(greatest(lower(r), " from "), least(upper(r) - 1, " to ")) seq"

// The device will not send anything below oldest: what is not here is lost, by its own word.
#define DROP_SQL                                                                                       \
	"update ledger l set contiguous = d.oldest - 1, highest = greatest(l.highest, d.oldest - 1), " \
	"dropped = l.dropped + d.missing from (select g.number, c.device, c.epoch, g.oldest, "         \
	"g.oldest - 1 - c.contiguous - (select count(*) from ("                                        \
	PRESENT_SQL("c.contiguous + 1", "g.oldest - 1")                                                \
	") present) as missing from stage_gap g join ledger c using (device, epoch) "                  \
	"where g.oldest - 1 > c.contiguous) d where l.device = d.device and l.epoch = d.epoch "        \
	"returning d.number, " MARKS

// Twice what a device has on its way at most (OUTBOX_IN_FLIGHT_MAX), so that a hostile gap costs little; a longer run
// is followed up by the next message.
#define REACH "1000"

// Seqs in order, numbered from the mark on: as long as both agree, nothing is missing.
#define CLOSE_SQL                                                                                                   \
	"update ledger l set contiguous = m.mark from (select g.number, c.device, c.epoch, (select max(seq) from (" \
	"select seq, row_number() over (order by seq) as place from ("                                              \
	PRESENT_SQL("c.contiguous + 1", "c.contiguous + " REACH)                                                    \
	") present) placed where seq - place = c.contiguous) as mark "                                              \
	"from stage_gap g join ledger c using (device, epoch)) m "                                                  \
	"where l.device = m.device and l.epoch = m.epoch and m.mark is not null "                                   \
	"returning m.number, " MARKS

bool ledger_prepare(struct pg *pg, struct error *error)
{
	return pg_exec(pg, STAGE_SQL, error) && gap_prepare(pg, error) && repetition_prepare(pg, error) &&
	       pg_prepare(pg, "ledger_move", MOVE_SQL, error) &&
	       pg_prepare(pg, "ledger_begin", BEGIN_SQL, error) && pg_prepare(pg, "ledger_drop", DROP_SQL, error) &&
	       pg_prepare(pg, "ledger_close", CLOSE_SQL, error);
}

static void take_marks(struct epoch_summary *epoch, const struct pg_result *result, size_t row, size_t column)
{
	epoch->contiguous = pg_int(result, row, column);
	epoch->highest = pg_int(result, row, column + 1);
	epoch->contiguous_before = pg_int(result, row, column + 2);
	epoch->highest_before = pg_int(result, row, column + 3);
	epoch->gaps = pg_int(result, row, column + 4);
}

// Runs a statement that returns number and the marks.
static bool move(struct pg *pg, const char *statement, struct summary *summary, size_t *rows, struct error *error)
{
	auto_pg_result struct pg_result *result = NULL;
	if (!pg_run(pg, &result, error, statement, 0, NULL))
		return false;
	for (size_t row = 0; row < pg_rows(result); row++)
		take_marks(summary->epochs[pg_int(result, row, 0)], result, row, 1);
	*rows = pg_rows(result);
	return true;
}

static bool begin(struct pg *pg, struct summary *summary, size_t *rows, struct error *error)
{
	auto_pg_result struct pg_result *result = NULL;
	if (!pg_run(pg, &result, error, "ledger_begin", 0, NULL))
		return false;
	for (size_t row = 0; row < pg_rows(result); row++)
		take_marks(summary_epoch(summary, pg_text(result, row, 0), pg_text(result, row, 1)), result, row, 2);
	*rows = pg_rows(result);
	return true;
}

static void write_epoch(struct copy *copy, size_t number, const struct epoch_summary *epoch)
{
	copy_row(copy, 9);
	copy_int4(copy, (int32_t)number);
	copy_text(copy, epoch->device);
	copy_text(copy, epoch->epoch);
	if (epoch->run_count > 0) {
		copy_int8(copy, epoch->runs[0].first);
		copy_int8(copy, epoch->runs[0].last);
		copy_int8(copy, epoch->runs[epoch->run_count - 1].last);
	} else { // hello alone
		copy_null(copy);
		copy_null(copy);
		copy_int8(copy, 0);
	}
	copy_int8(copy, epoch->received);
	copy_int8(copy, epoch->repeated);
	copy_int8(copy, epoch->late);
}

bool ledger_lock(struct copy *copy, struct pg *pg, struct summary *summary, struct error *error)
{
	if (summary->epoch_count == 0)
		return true;
	if (!copy_start(copy, pg, COPY_EPOCH_SQL, error))
		return false;
	for (size_t i = 0; i < summary->epoch_count; i++)
		write_epoch(copy, i, summary->epochs[i]);
	size_t moved;
	if (!copy_end(copy, error) || !move(pg, "ledger_move", summary, &moved, error))
		return false;
	if (moved == summary->epoch_count)
		return true;
	size_t begun;
	if (!begin(pg, summary, &begun, error))
		return false;
	if (moved + begun == summary->epoch_count)
		return true;
	return error_set(error, ERROR_FAILED, "another program began the same epoch at the same time");
}

bool ledger_close_gaps(struct copy *copy, struct pg *pg, struct summary *summary, struct error *error)
{
	size_t moved;
	if (!gap_any(summary))
		return true;
	return gap_begin(copy, pg, summary, error) && move(pg, "ledger_drop", summary, &moved, error) &&
	       move(pg, "ledger_close", summary, &moved, error) && gap_end(pg, summary, error);
}
