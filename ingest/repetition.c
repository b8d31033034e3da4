#include "ingest/repetition.h"

#include <string.h>

#define STAGE_SQL                                                                                               \
	"create temporary table stage_repetition (number integer, device " DEVICE_TYPE ", epoch " EPOCH_TYPE ", " \
	"first bigint, last bigint) on commit delete rows"

#define COPY_SQL "copy stage_repetition from stdin (format binary)"

// What is left of the runs without what was dropped.
#define FIND_SQL                                                                                                 \
	"with again as (select s.number, s.device, s.epoch, range_agg(int8range(s.first, s.last, '[]')) - "      \
	"coalesce((select range_agg(int8range(p.from_seq, p.to_seq, '[]')) from ledger_gap p "                   \
	"where p.device = s.device and p.epoch = s.epoch and p.state = 'dropped'), '{}') as runs "               \
	"from stage_repetition s group by s.number, s.device, s.epoch), "                                        \
	"counted as (update ledger l set duplicates = l.duplicates + a.n from (select device, epoch, "           \
	"(select sum(upper(r) - lower(r)) from unnest(runs) r) as n from again where not isempty(runs)) a "      \
	"where l.device = a.device and l.epoch = a.epoch) "                                                      \
	"select number, lower(r), upper(r) - 1 from again, unnest(runs) r order by 1, 2"

bool repetition_prepare(struct pg *pg, struct error *error)
{
	return pg_exec(pg, STAGE_SQL, error) && pg_prepare(pg, "repetition_find", FIND_SQL, error);
}

static bool begins_below(const struct epoch_summary *epoch)
{
	return epoch->run_count > 0 && epoch->runs[0].first <= epoch->contiguous_before;
}

static bool any_begins_below(const struct summary *summary)
{
	for (size_t i = 0; i < summary->epoch_count; i++)
		if (begins_below(summary->epochs[i]))
			return true;
	return false;
}

// Each run of an epoch up to its mark.
static bool stage(struct copy *copy, struct pg *pg, const struct summary *summary, struct error *error)
{
	if (!copy_start(copy, pg, COPY_SQL, error))
		return false;
	for (size_t i = 0; i < summary->epoch_count; i++) {
		const struct epoch_summary *epoch = summary->epochs[i];
		int64_t mark = epoch->contiguous_before;
		for (size_t r = 0; r < epoch->run_count && epoch->runs[r].first <= mark; r++) {
			copy_row(copy, 5);
			copy_int4(copy, (int32_t)i);
			copy_text(copy, epoch->device);
			copy_text(copy, epoch->epoch);
			copy_int8(copy, epoch->runs[r].first);
			copy_int8(copy, epoch->runs[r].last < mark ? epoch->runs[r].last : mark);
		}
	}
	return copy_end(copy, error);
}

// Rows of (number, first, last), in order.
static void take_runs(struct summary *summary, const struct pg_result *rows)
{
	for (size_t row = 0; row < pg_rows(rows);) {
		struct epoch_summary *epoch = summary->epochs[pg_int(rows, row, 0)];
		size_t end = row;
		while (end < pg_rows(rows) && pg_int(rows, end, 0) == pg_int(rows, row, 0))
			end++;
		epoch->again = arena_alloc(&summary->arena, (end - row) * sizeof(*epoch->again));
		for (; row < end; row++)
			epoch->again[epoch->again_count++] =
				(struct run){pg_int(rows, row, 1), pg_int(rows, row, 2)};
	}
}

static int64_t length(const struct run *runs, size_t count, int64_t mark)
{
	int64_t sum = 0;
	for (size_t i = 0; i < count && runs[i].first <= mark; i++)
		sum += (runs[i].last < mark ? runs[i].last : mark) - runs[i].first + 1;
	return sum;
}

static bool is_in(const struct run *runs, size_t count, int64_t seq)
{
	size_t low = 0;
	size_t high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (runs[middle].last < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && runs[low].first <= seq;
}

static size_t mark_stamps(const struct summary *summary, struct message *message)
{
	const struct epoch_summary *epoch = NULL;
	size_t marked = 0;
	for (size_t row = 0; row < message->count; row++) {
		struct stamp *stamp = &message->stamps[row];
		if (!stamp->numbered)
			continue;
		if (!epoch || strcmp(epoch->epoch, stamp->epoch) != 0)
			epoch = summary_epoch(summary, message->device, stamp->epoch);
		stamp->again = is_in(epoch->again, epoch->again_count, stamp->seq);
		marked += stamp->again;
	}
	return marked;
}

bool repetition_find(struct copy *copy, struct pg *pg, struct summary *summary, struct message *messages, size_t count,
		     size_t *repetitions, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	*repetitions = 0;
	if (!any_begins_below(summary))
		return true;
	if (!stage(copy, pg, summary, error) || !pg_run(pg, &rows, error, "repetition_find", 0, NULL))
		return false;
	take_runs(summary, rows);
	for (size_t i = 0; i < summary->epoch_count; i++) {
		struct epoch_summary *epoch = summary->epochs[i];
		int64_t mark = epoch->contiguous_before;
		epoch->revived = length(epoch->again, epoch->again_count, mark) <
				 length(epoch->runs, epoch->run_count, mark);
	}
	for (size_t i = 0; i < count; i++)
		if (messages[i].stamps && messages[i].device && !messages[i].foreign)
			*repetitions += mark_stamps(summary, &messages[i]);
	return true;
}
