#include "ingest/gap.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	NEW_MAX = 1000, // gaps of an epoch that one batch opens; what more it has becomes part of the last
	RUN_BYTES = 64, // text of one run, generously
};
// A device that sends only every other number must not stop the rest: runs beyond this are seen as rows, or when they
// come again.
#define RUNS_MAX_BYTES ((size_t)256 * 1024)

// runs: text of an int8multirange, the seqs of this batch.
#define STAGE_SQL                                                                                           \
	"create temporary table stage_gap (number integer, device text, epoch text, oldest bigint, runs text) " \
	"on commit delete rows"
#define COPY_STAGE_SQL "copy stage_gap from stdin (format binary)"
#define COPY_OPEN_SQL "copy ledger_gap (device, epoch, from_seq, to_seq) from stdin (format binary)"

#define WAITS "p.state in ('open', 'lost')"
#define OF_STAGED "ledger_gap p on p.device = g.device and p.epoch = g.epoch"

// A gap becomes the first piece of what is left of it; further pieces are new rows. What the device had declared
// dropped may come after all, too.
#define FILL_SQL                                                                                                  \
	"with hit as (select p.device, p.epoch, p.id, p.from_seq, p.to_seq, p.state, p.opened_at, p.closed_at, "  \
	"int8multirange(int8range(p.from_seq, p.to_seq, '[]')) - g.runs::int8multirange as rest "                 \
	"from stage_gap g join " OF_STAGED " where p.state <> 'closed'"                                           \
	" and int8range(p.from_seq, p.to_seq, '[]') && g.runs::int8multirange), "                                 \
	"piece as (select h.*, lower(r) as first, upper(r) - 1 as last, place "                                   \
	"from hit h, unnest(h.rest) with ordinality u (r, place)), "                                              \
	"shrunk as (update ledger_gap p set from_seq = coalesce(lower(h.rest), p.from_seq), "                     \
	"to_seq = coalesce((select upper(r) - 1 from unnest(h.rest) r limit 1), p.to_seq), "                      \
	"state = case when isempty(h.rest) then 'closed' else p.state end, "                                      \
	"closed_at = case when isempty(h.rest) then now() else h.closed_at end "                                  \
	"from hit h where p.device = h.device and p.epoch = h.epoch and p.id = h.id), "                           \
	"split as (insert into ledger_gap (device, epoch, from_seq, to_seq, state, opened_at, closed_at) "        \
	"select device, epoch, first, last, state, opened_at, closed_at from piece where place > 1), "            \
	"filled as (select device, epoch, state, to_seq - from_seq + 1 - "                                        \
	"coalesce((select sum(upper(r) - lower(r)) from unnest(h.rest) r), 0) as n from hit h) "                  \
	"update ledger l set late = l.late + f.late, dropped = greatest(0, l.dropped - f.revived) "               \
	"from (select device, epoch, sum(n) as late, coalesce(sum(n) filter (where state = 'dropped'), 0) "       \
	"as revived from filled group by device, epoch) f where l.device = f.device and l.epoch = f.epoch"

// What lies below the oldest seq that the device can still send will not come; what lies above goes on waiting.
#define DROP_SQL                                                                                                    \
	"with cut as (select p.*, g.oldest from stage_gap g join " OF_STAGED " where " WAITS                        \
	" and p.from_seq < g.oldest), "                                                                             \
	"dropped as (update ledger_gap p set state = 'dropped', closed_at = now(), "                                \
	"to_seq = least(c.to_seq, c.oldest - 1) from cut c "                                                        \
	"where p.device = c.device and p.epoch = c.epoch and p.id = c.id), "                                        \
	"kept as (insert into ledger_gap (device, epoch, from_seq, to_seq, state, opened_at) "                      \
	"select device, epoch, oldest, to_seq, state, opened_at from cut where to_seq >= oldest) "                  \
	"insert into ledger_gap (device, epoch, from_seq, to_seq, state, closed_at) "                               \
	"select g.device, g.epoch, l.highest + 1, g.oldest - 1, 'dropped', now() "                                  \
	"from stage_gap g join ledger l on l.device = g.device and l.epoch = g.epoch where g.oldest - 1 > l.highest"

// Joined gaps hold seqs that are there; when the mark has passed them, all is there.
#define PASS_SQL                                                                                               \
	"update ledger_gap p set state = case when p.to_seq <= l.contiguous then 'closed' else p.state end, "  \
	"closed_at = case when p.to_seq <= l.contiguous then now() end, "                                      \
	"from_seq = case when p.to_seq <= l.contiguous then p.from_seq else l.contiguous + 1 end "             \
	"from stage_gap g join ledger l on l.device = g.device and l.epoch = g.epoch "                         \
	"where p.device = g.device and p.epoch = g.epoch and " WAITS " and p.from_seq <= l.contiguous"

#define ROWS "1000" // of an epoch

// Of the finished ones the closed go first, and the oldest.
#define FORGET_SQL                                                                                                    \
	"delete from ledger_gap d using (select p.device, p.epoch, p.id, p.state, row_number() over "                 \
	"(partition by p.device, p.epoch order by " WAITS " desc, p.state = 'dropped' desc, p.id desc) as place "      \
	"from stage_gap g join " OF_STAGED                                                                             \
	") x where x.place > " ROWS " and x.state in ('closed', 'dropped') "                                          \
	"and d.device = x.device and d.epoch = x.epoch and d.id = x.id"

// If that is not enough, the highest are joined.
#define JOIN_SQL                                                                                                   \
	"with tail as (select device, epoch, min(id) as kept, min(from_seq) as first, max(to_seq) as last, "       \
	"min(opened_at) as since from (select p.*, row_number() over "                                             \
	"(partition by p.device, p.epoch order by p.from_seq) as place from stage_gap g join " OF_STAGED           \
	" where " WAITS ") x where place >= " ROWS " group by device, epoch having count(*) > 1), "                \
	"joined as (update ledger_gap p set from_seq = t.first, to_seq = t.last, opened_at = t.since from tail t " \
	"where p.device = t.device and p.epoch = t.epoch and p.id = t.kept) "                                      \
	"delete from ledger_gap p using tail t where p.device = t.device and p.epoch = t.epoch and " WAITS         \
	" and p.from_seq >= t.first and p.id <> t.kept"

#define COUNT_SQL                                                                                               \
	"update ledger l set gaps = c.waiting from (select g.device, g.epoch, (select count(*) from ledger_gap p " \
	"where p.device = g.device and p.epoch = g.epoch and " WAITS ") as waiting from stage_gap g) c "        \
	"where l.device = c.device and l.epoch = c.epoch and l.gaps <> c.waiting"

// Whatever a batch is at work on is looked at the next time.
#define LOSE_SQL                                                                                              \
	"update ledger_gap p set state = 'lost' from (select device, epoch, id from ledger_gap "              \
	"where state = 'open' and opened_at < now() - make_interval(secs => $1::bigint) order by opened_at "  \
	"limit 1000 for update skip locked) x where p.device = x.device and p.epoch = x.epoch and p.id = x.id " \
	"returning p.device, p.epoch, p.from_seq, p.to_seq"

bool gap_prepare(struct pg *pg, struct error *error)
{
	return pg_exec(pg, STAGE_SQL, error) && pg_prepare(pg, "gap_fill", FILL_SQL, error) &&
	       pg_prepare(pg, "gap_drop", DROP_SQL, error) && pg_prepare(pg, "gap_pass", PASS_SQL, error) &&
	       pg_prepare(pg, "gap_forget", FORGET_SQL, error) && pg_prepare(pg, "gap_join", JOIN_SQL, error) &&
	       pg_prepare(pg, "gap_count", COUNT_SQL, error) && pg_prepare(pg, "gap_lose", LOSE_SQL, error);
}

static bool concerns(const struct epoch_summary *epoch)
{
	return epoch->gaps > 0 || epoch->highest > epoch->contiguous || epoch->floor - 1 > epoch->contiguous ||
	       epoch->revived;
}

bool gap_any(const struct summary *summary)
{
	for (size_t i = 0; i < summary->epoch_count; i++)
		if (concerns(summary->epochs[i]))
			return true;
	return false;
}

static void write_stage(struct copy *copy, size_t number, const struct epoch_summary *epoch, struct buf *runs)
{
	buf_clear(runs);
	(void)buf_add_str(runs, "{");
	for (size_t i = 0; i < epoch->run_count && runs->len_bytes < RUNS_MAX_BYTES - RUN_BYTES; i++)
		(void)buf_addf(runs, "%s[%" PRId64 ",%" PRId64 "]", i > 0 ? "," : "", epoch->runs[i].first,
			       epoch->runs[i].last);
	(void)buf_add_str(runs, "}");
	copy_row(copy, 5);
	copy_int4(copy, (int32_t)number);
	copy_text(copy, epoch->device);
	copy_text(copy, epoch->epoch);
	copy_int8(copy, epoch->floor);
	copy_text(copy, buf_str(runs));
}

static bool stage(struct copy *copy, struct pg *pg, const struct summary *summary, struct error *error)
{
	auto_buf struct buf runs = {0};
	buf_init(&runs, RUNS_MAX_BYTES);
	if (!copy_start(copy, pg, COPY_STAGE_SQL, error))
		return false;
	for (size_t i = 0; i < summary->epoch_count; i++)
		if (concerns(summary->epochs[i]))
			write_stage(copy, i, summary->epochs[i], &runs);
	return copy_end(copy, error);
}

// Writes the gaps that this batch leaves above what was the highest, or only counts them without copy.
static size_t new_gaps(const struct epoch_summary *epoch, struct copy *copy)
{
	int64_t reached = epoch->highest_before;
	size_t count = 0;
	for (size_t i = 0; i < epoch->run_count && count < NEW_MAX; i++) {
		const struct run *run = &epoch->runs[i];
		if (run->first > reached + 1) {
			if (++count == NEW_MAX)
				run = &epoch->runs[epoch->run_count - 1];
			if (copy) {
				copy_row(copy, 4);
				copy_text(copy, epoch->device);
				copy_text(copy, epoch->epoch);
				copy_int8(copy, reached + 1);
				copy_int8(copy, run->first - 1);
			}
		}
		if (run->last > reached)
			reached = run->last;
	}
	return count;
}

static size_t count_new(const struct summary *summary)
{
	size_t count = 0;
	for (size_t i = 0; i < summary->epoch_count; i++)
		count += new_gaps(summary->epochs[i], NULL);
	return count;
}

static bool open_new(struct copy *copy, struct pg *pg, const struct summary *summary, struct error *error)
{
	if (count_new(summary) == 0)
		return true;
	if (!copy_start(copy, pg, COPY_OPEN_SQL, error))
		return false;
	for (size_t i = 0; i < summary->epoch_count; i++)
		(void)new_gaps(summary->epochs[i], copy);
	return copy_end(copy, error);
}

bool gap_begin(struct copy *copy, struct pg *pg, const struct summary *summary, struct error *error)
{
	return stage(copy, pg, summary, error) && open_new(copy, pg, summary, error) &&
	       pg_run(pg, NULL, error, "gap_fill", 0, NULL) && pg_run(pg, NULL, error, "gap_drop", 0, NULL);
}

bool gap_end(struct pg *pg, const struct summary *summary, struct error *error)
{
	return pg_run(pg, NULL, error, "gap_pass", 0, NULL) &&
	       (count_new(summary) == 0 || (pg_run(pg, NULL, error, "gap_forget", 0, NULL) &&
					    pg_run(pg, NULL, error, "gap_join", 0, NULL))) &&
	       pg_run(pg, NULL, error, "gap_count", 0, NULL);
}

bool gap_lose(struct pg *pg, int64_t after_s, struct pg_result **lost, struct error *error)
{
	char seconds[24];
	(void)snprintf(seconds, sizeof(seconds), "%" PRId64, after_s);
	return pg_run(pg, lost, error, "gap_lose", 1, (const char *const[]){seconds});
}
