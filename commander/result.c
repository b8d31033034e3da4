#include "commander/result.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"
#include "commander/signature.h"

#include "common/action.h"
#include "common/json.h"

#include <stdlib.h>
#include <string.h>

#define BATCH "1000"
#define BATCH_MAX 1000
// Applied at a time: while the database does, the signatures of those behind are checked.
#define CHUNK_MAX 250
#define LIST_MAX_BYTES 262144 // 250 short objects

// The batch is cut off before anything is joined to it: thousands may wait.
static const char select_sql[] =
	"select r.device, r.epoch, r.seq, r.command, r.state, left(r.body ->> 'reason', 1000), r.body -> 'output',"
	" c.id, c.state, c.device, c.action, c.attempts > 0, case when jsonb_typeof(r.body -> 'progress') = 'number'"
	" then least(greatest((r.body ->> 'progress')::numeric, 0), 100)::integer end, " SIGNATURE_COLUMNS
	" from (select * from command_result r where r.applied_at is null and r.verdict <> 'refused' "
	"and " CELL_HAS("r.device",
			"1") " order by r.received_at, r.device, r.epoch, r.seq limit " BATCH
			     " for update skip locked) r"
			     " left join command c on c.id ="
			     " case when r.command ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then "
			     "r.command::uuid end" SIGNATURE_JOIN " order by r.received_at, r.device, r.epoch, r.seq";
enum column { DEVICE, EPOCH, SEQ, COMMAND, SAID, REASON, OUTPUT, ID, STATE, OWNER, ACTION, SENT, PROGRESS, SERIALS };

// A wrong signature becomes an event of the device.
static const char applied_sql[] =
	"with u as (update command_result r set applied_at = now(), verdict = coalesce(m.verdict, r.verdict),"
	" certificate = coalesce(m.serial, r.certificate) from json_to_recordset($1::json)"
	" as m(device text, epoch text, seq bigint, verdict text, serial text)"
	" where r.device = m.device and r.epoch = m.epoch and r.seq = m.seq"
	" returning r.device, r.epoch, r.seq, r.command, r.state, r.verdict)"
	" insert into event (device, epoch, seq, ts, received_at, measured_at, type, body)"
	" select device, '-signature-' || left(md5(epoch), 12), seq, now(), now(), now(), 'result.refused',"
	" jsonb_build_object('command', command, 'state', state, 'reason',"
	" 'its signature is by none of the certificates that this device had') from u where verdict = 'refused'"
	" on conflict do nothing";

static const char progress_sql[] =
	"update command c set progress = m.progress, changed_at = now() from json_to_recordset($1::json)"
	" as m(id uuid, progress smallint) where c.id = m.id and c.state = 'running'";

#define NONE SIZE_MAX
#define FINISH_SLACK_MS 60000 // for a result on its way
#define FINISH_DEFAULT_S 3600 // of an action that is no more in the table

// A command of this batch, and where it stands after the results before this one.
struct course {
	const char *id;
	enum command_state state;
	const char *progress; // percent; NULL: nothing new
};

struct batch {
	const struct pg_result *rows;
	struct course courses[BATCH_MAX];
	size_t course_count;
	struct verifier_check checks[BATCH_MAX];
	size_t check_count;
	size_t check_of[BATCH_MAX]; // by row; NONE when there is nothing to check

	size_t first, end; // the chunk: these rows
	struct transition moves[CHUNK_MAX];
	size_t move_count;
	size_t move_of[BATCH_MAX]; // by row; NONE when there is nothing to do
	bool made[CHUNK_MAX];	   // by move
};

const char *result_judge(const char *said, const char *device, const char *owner, bool sent,
			 enum command_state current, enum command_state *to)
{
	if (!owner)
		return "no such command";
	if (strcmp(device, owner) != 0)
		return "the command is another device's";
	if (!command_state_parse(said, to) || *to < STATE_ACCEPTED || *to == STATE_EXPIRED)
		return "not a state that a device can report";
	if (!sent)
		return "the command was never sent";
	if (*to == current)
		return "reported before";
	return transition_allowed(current, *to) ? NULL : "the command is past that";
}

static struct course *find_course(struct batch *batch, size_t row)
{
	const char *id = pg_text(batch->rows, row, ID);
	struct course *course = NULL;

	for (size_t i = 0; i < batch->course_count; i++) {
		if (strcmp(batch->courses[i].id, id) == 0)
			return &batch->courses[i];
	}
	course = &batch->courses[batch->course_count++];
	course->id = id;
	if (!command_state_parse(pg_text(batch->rows, row, STATE), &course->state))
		course->state = STATE_CANCELLED; // not a state of ours: nothing moves it
	return course;
}

static int64_t finish_ms(const char *name)
{
	const struct action *action = action_find(name);

	return (action ? action->timeout_s : FINISH_DEFAULT_S) * 1000 + FINISH_SLACK_MS;
}

static bool is_refused(const struct batch *batch, size_t row)
{
	return batch->check_of[row] != NONE && !batch->checks[batch->check_of[row]].good;
}

static void judge(struct commander *commander, struct batch *batch, size_t row)
{
	const char *device = pg_text(batch->rows, row, DEVICE);
	const char *said = pg_text(batch->rows, row, SAID);
	struct course *course = pg_text(batch->rows, row, ID) ? find_course(batch, row) : NULL;
	enum command_state to = STATE_CANCELLED;
	const char *why = result_judge(said, device, pg_text(batch->rows, row, OWNER),
				       pg_bool(batch->rows, row, SENT), course ? course->state : STATE_CANCELLED, &to);
	struct transition *move = NULL;

	batch->move_of[row] = NONE;
	if (is_refused(batch, row)) {
		log_warn("sec.result.refused", "device", device, "command", pg_text(batch->rows, row, COMMAND),
			 "reason", "its signature is by none of the device's certificates");
		return;
	}
	if (course && strcmp(said, "running") == 0 && strcmp(device, pg_text(batch->rows, row, OWNER)) == 0)
		course->progress = pg_text(batch->rows, row, PROGRESS);
	metric_add(metrics_counter(commander->metrics, "muster_command_results_total",
				   why ? "applied=\"no\"" : "applied=\"yes\"",
				   "Results of commands that devices reported"),
		   1);
	if (why || !course) {
		// Devices repeat themselves after a reconnect: only what should not happen is worth a warning.
		log_write(course && strcmp(device, pg_text(batch->rows, row, OWNER)) == 0 ? LOG_DEBUG : LOG_WARN,
			  "result.ignored", "device", device, "command", pg_text(batch->rows, row, COMMAND), "said",
			  said, "why", why, (const char *)NULL);
		return;
	}
	batch->move_of[row] = batch->move_count;
	move = &batch->moves[batch->move_count++];
	*move = (struct transition){.command = course->id, .from = course->state, .to = to, .cause = "result"};
	if (to == STATE_ACCEPTED || to == STATE_RUNNING)
		move->timer_ms = finish_ms(pg_text(batch->rows, row, ACTION));
	if (course->state == STATE_EXPIRED)
		move->reason = ""; // "not answered in time" is no longer true
	if (command_state_is_final(to)) {
		if (pg_text(batch->rows, row, REASON))
			move->reason = pg_text(batch->rows, row, REASON);
		move->result = pg_text(batch->rows, row, OUTPUT);
	}
	course->state = to;
}

// All but those whose command was moved by somebody else meanwhile: they are judged again in the next transaction.
static bool mark_applied(struct commander *commander, const struct batch *batch, struct error *error)
{
	auto_buf struct buf text = {0};
	const char *params[1];
	size_t count = 0;

	buf_init(&text, LIST_MAX_BYTES);
	for (size_t row = batch->first; row < batch->end; row++) {
		size_t check = batch->check_of[row];

		if (batch->move_of[row] != NONE && !batch->made[batch->move_of[row]])
			continue;
		(void)buf_addf(&text, "%c{\"device\":", count++ == 0 ? '[' : ',');
		(void)json_quote(&text, pg_text(batch->rows, row, DEVICE));
		(void)buf_add_str(&text, ",\"epoch\":");
		(void)json_quote(&text, pg_text(batch->rows, row, EPOCH));
		(void)buf_addf(&text, ",\"seq\":%s", pg_text(batch->rows, row, SEQ));
		if (check != NONE)
			signature_judge(commander, &batch->checks[check], pg_text(batch->rows, row, SERIALS), &text);
		(void)buf_add_str(&text, "}");
	}
	(void)buf_add_str(&text, "]");
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "the list of results is too long");
	params[0] = buf_str(&text);
	return count == 0 || pg_query(commander->pg, NULL, error, applied_sql, 1, params);
}

// How far those are that still run; the last word of each counts.
static bool store_progress(struct commander *commander, struct batch *batch, struct error *error)
{
	auto_buf struct buf text = {0};
	const char *params[1];

	buf_init(&text, LIST_MAX_BYTES);
	for (size_t i = 0; i < batch->course_count; i++) {
		if (batch->courses[i].progress)
			(void)buf_addf(&text, "%c{\"id\":\"%s\",\"progress\":%s}", text.len_bytes == 0 ? '[' : ',',
				       batch->courses[i].id, batch->courses[i].progress);
		batch->courses[i].progress = NULL;
	}
	if (text.len_bytes == 0)
		return true;
	(void)buf_add_str(&text, "]");
	params[0] = buf_str(&text);
	commander->moved = true;
	return pg_query(commander->pg, NULL, error, progress_sql, 1, params);
}

// ---- a batch ----

static void find_checks(struct batch *batch)
{
	for (size_t row = 0; row < pg_rows(batch->rows); row++) {
		bool found = signature_find(batch->rows, row, SERIALS, &batch->checks[batch->check_count]);

		batch->check_of[row] = found ? batch->check_count++ : NONE;
	}
}

static void await_chunk(struct verifier *verifier, const struct batch *batch)
{
	for (size_t row = batch->end; row-- > batch->first;) {
		if (batch->check_of[row] == NONE)
			continue;
		verifier_await(verifier, batch->check_of[row] + 1);
		return;
	}
}

static bool apply_chunk(struct commander *commander, struct batch *batch, struct error *error)
{
	batch->move_count = 0;
	memset(batch->made, 0, sizeof(batch->made));
	for (size_t row = batch->first; row < batch->end; row++)
		judge(commander, batch, row);
	if (!moves_make(commander, batch->moves, batch->move_count, batch->made, error))
		return false;
	for (size_t i = 0; i < batch->move_count; i++) {
		if (!batch->made[i])
			commander->due |= DUE_RESULTS;
	}
	return (store_progress(commander, batch, error) && mark_applied(commander, batch, error)) ||
	       error_prefix(error, "marking results");
}

static bool apply(struct commander *commander, struct batch *batch, struct error *error)
{
	bool ok = true;

	find_checks(batch);
	verifier_start(commander->verifier, batch->checks, batch->check_count);
	while (ok && batch->end < pg_rows(batch->rows)) {
		batch->first = batch->end;
		batch->end += CHUNK_MAX;
		if (batch->end > pg_rows(batch->rows))
			batch->end = pg_rows(batch->rows);
		await_chunk(commander->verifier, batch);
		ok = apply_chunk(commander, batch, error);
	}
	verifier_stop(commander->verifier); // before the rows go
	return ok;
}

bool result_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_free struct batch *batch = NULL;
	const char *params[] = {commander->cell};

	if (!pg_query(commander->pg, &rows, error, select_sql, 1, params))
		return error_prefix(error, "reading results");
	if (pg_rows(rows) < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_RESULTS;
	if (pg_rows(rows) == 0)
		return true;
	crash_here(&commander->crash, CRASH_RESULT_READ);
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return error_set(error, ERROR_FAILED, "out of memory");
	batch->rows = rows;
	return apply(commander, batch, error);
}
