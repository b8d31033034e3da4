#include "commander/issue.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#include "common/clock.h"
#include "common/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BATCH "500"
#define BATCH_MAX 500
#define LIST_MAX_BYTES 262144 // 500 short objects
#define ACCEPT_SLACK_MS 5000  // for the answer of a device that began in time

// First the lock, then a look at what is queued: whoever held it before us has committed what we see.
static const char lock_sql[] =
	"select device, command_counter, command_chain from device where device = any ($1) and " CELL_HAS(
		"device.device", "2") " order by device for update";
#define QUEUED "c.device = d.device and c.state = 'queued' and not c.held and c.expires_at > now()"
static const char heads_sql[] =
	"select h.id, d.device, h.action, h.params, (extract(epoch from h.expires_at) * 1000)::bigint,"
	" (extract(epoch from now()) * 1000)::bigint, h.in_window, coalesce((extract(epoch from w.opens) * "
	"1000)::bigint, 0),"
	" coalesce((extract(epoch from w.closes) * 1000)::bigint, 0), case when octet_length(h.requested_by) < 72"
	" then h.requested_by else left(h.requested_by, 17) end from device d cross join lateral ("
	"(select c.* from command c where " QUEUED " and c.cancels is not null order by c.next_at, c.number limit 20)"
	" union all (select c.* from command c where " QUEUED " and c.cancels is null order by c.next_at, c.number"
	" limit greatest(0, case d.command_policy when 'burst' then 100 else 1 end - (select count(*) from command o"
	" where o.device = d.device and o.state in ('sent', 'accepted', 'running') and o.cancels is null)))) h"
	" left join lateral (select * from next_window(d.time_zone, d.maintenance_window, now()) where h.in_window) w "
	"on true"
	" where d.device = any ($1) and " CELL_HAS(
		"d.device", "2") " order by d.device, h.cancels is null, h.next_at, h.number limit " BATCH;
enum column { ID, DEVICE, ACTION, PARAMS, EXPIRES_MS, NOW_MS, IN_WINDOW, OPENS_MS, CLOSES_MS, BY };

static const char counter_sql[] = "update device d set command_counter = m.n, command_chain = m.chain"
				  " from json_to_recordset($1::json) as m(device text, n bigint, chain text)"
				  " where d.device = m.device";
// Closed again while it waited for its turn.
static const char hold_sql[] = "update command c set held = true, next_at = m.opens from json_to_recordset($1::json) "
			       "as m(id uuid, opens timestamptz)"
			       " where c.id = m.id and c.state = 'queued'";

// What this batch knows of a device by now.
struct seat {
	const char *device;
	int64_t counter;
	char chain[COMMAND_CHAIN_BYTES]; // of the last command signed for it
	bool changed;
};

struct batch {
	const struct pg_result *seats_rows, *rows;
	struct seat seats[BATCH_MAX];
	size_t seat_count;
	struct transition moves[BATCH_MAX];
	char *jws[BATCH_MAX];		// owned, by move
	struct error errors[BATCH_MAX]; // by move
	size_t move_count;
	struct buf holds;
};

static void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	for (size_t i = 0; i < BATCH_MAX; i++)
		free(batch->jws[i]);
	buf_done(&batch->holds);
	free(batch);
}
DEFINE_CLEANUP(struct batch, batch_free)

static struct seat *find_seat(struct batch *batch, const char *device)
{
	for (size_t i = 0; i < batch->seat_count; i++) {
		if (strcmp(batch->seats[i].device, device) == 0)
			return &batch->seats[i];
	}
	return NULL;
}

static void hold(struct batch *batch, size_t row)
{
	char at[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(pg_int(batch->rows, row, OPENS_MS), at);
	(void)buf_addf(&batch->holds, "%c{\"id\":\"%s\",\"opens\":\"%s\"}", batch->holds.len_bytes == 0 ? '[' : ',',
		       pg_text(batch->rows, row, ID), at);
}

// One that cannot be signed is refused: it would fail each time.
static bool sign(struct commander *commander, struct batch *batch, size_t row, struct seat *seat, int64_t until_ms,
		 struct error *fatal)
{
	const struct pg_result *rows = batch->rows;
	const char *text = pg_text(rows, row, PARAMS);
	size_t index = batch->move_count++;
	struct transition *move = &batch->moves[index];
	struct error *error = &batch->errors[index];
	auto_json struct json *params = json_parse(text, strlen(text), error);
	int64_t resend_ms = (int64_t)commander->options->resend_s * 1000;
	struct command command = {
		.issued_s = clock_wall_ms() / 1000,
		.expires_s = until_ms / 1000,
		.params = params,
	};

	(void)snprintf(command.id, sizeof(command.id), "%s", pg_text(rows, row, ID));
	(void)snprintf(command.device, sizeof(command.device), "%s", seat->device);
	(void)snprintf(command.action, sizeof(command.action), "%s", pg_text(rows, row, ACTION));
	(void)snprintf(command.by, sizeof(command.by), "%s", pg_text(rows, row, BY));
	(void)snprintf(command.prev, sizeof(command.prev), "%s", seat->chain);
	if (!signing_counter(&commander->signing, seat->counter, &command.counter, fatal))
		return false;
	if (command.expires_s <= command.issued_s) // whole seconds on the wire
		command.expires_s = command.issued_s + 1;
	*move = (struct transition){
		.command = pg_text(rows, row, ID), .from = STATE_QUEUED, .to = STATE_REJECTED, .cause = "publish"};
	batch->jws[index] = params ? command_sign(commander->signing.signer, &command, error) : NULL;
	if (!batch->jws[index]) {
		move->reason = error->what;
		return true;
	}
	seat->counter = command.counter;
	command_chain(batch->jws[index], strlen(batch->jws[index]), seat->chain);
	seat->changed = true;
	move->to = STATE_SENT;
	move->jws = batch->jws[index];
	move->counter = command.counter;
	move->next_ms = resend_ms / 4 * 3 + clock_backoff_ms(0, resend_ms / 2, resend_ms / 2);
	move->timer_ms = until_ms - pg_int(rows, row, NOW_MS) + ACCEPT_SLACK_MS;
	return true;
}

static bool look_at(struct commander *commander, struct batch *batch, size_t row, struct error *fatal)
{
	const struct pg_result *rows = batch->rows;
	struct seat *seat = find_seat(batch, pg_text(rows, row, DEVICE));
	int64_t until_ms = pg_int(rows, row, EXPIRES_MS);
	int64_t closes_ms = pg_int(rows, row, CLOSES_MS);

	if (!seat)
		return true;
	if (!pg_bool(rows, row, IN_WINDOW)) {
		return sign(commander, batch, row, seat, until_ms, fatal);
	} else if (closes_ms == 0) {
		batch->moves[batch->move_count++] = (struct transition){
			.command = pg_text(rows, row, ID),
			.from = STATE_QUEUED,
			.to = STATE_REJECTED,
			.cause = "window",
			.reason = "the device has no maintenance window any more",
		};
	} else if (pg_int(rows, row, OPENS_MS) > pg_int(rows, row, NOW_MS)) {
		hold(batch, row);
	} else {
		return sign(commander, batch, row, seat, closes_ms < until_ms ? closes_ms : until_ms, fatal);
	}
	return true;
}

static bool store_counters(struct commander *commander, const struct batch *batch, struct error *error)
{
	auto_buf struct buf text = {0};
	const char *params[1];

	buf_init(&text, LIST_MAX_BYTES);
	for (size_t i = 0; i < batch->seat_count; i++) {
		if (batch->seats[i].changed)
			(void)buf_addf(&text, "%c{\"device\":\"%s\",\"n\":%" PRId64 ",\"chain\":\"%s\"}",
				       text.len_bytes == 0 ? '[' : ',', batch->seats[i].device, batch->seats[i].counter,
				       batch->seats[i].chain);
	}
	if (text.len_bytes == 0)
		return true;
	(void)buf_add_str(&text, "]");
	params[0] = buf_str(&text);
	return pg_query(commander->pg, NULL, error, counter_sql, 1, params);
}

static bool store_holds(struct commander *commander, struct batch *batch, struct error *error)
{
	const char *params[1];

	if (batch->holds.len_bytes == 0)
		return true;
	(void)buf_add_str(&batch->holds, "]");
	params[0] = buf_str(&batch->holds);
	return pg_query(commander->pg, NULL, error, hold_sql, 1, params);
}

static void take_seats(struct batch *batch)
{
	for (size_t row = 0; row < pg_rows(batch->seats_rows) && row < BATCH_MAX; row++) {
		struct seat *seat = &batch->seats[batch->seat_count++];

		*seat = (struct seat){.device = pg_text(batch->seats_rows, row, 0),
				      .counter = pg_int(batch->seats_rows, row, 1)};
		(void)snprintf(seat->chain, sizeof(seat->chain), "%s", pg_text(batch->seats_rows, row, 2));
	}
}

bool issue_run(struct commander *commander, const char *devices, bool *more, struct error *error)
{
	auto_pg_result struct pg_result *seats = NULL;
	auto_pg_result struct pg_result *rows = NULL;
	cleanup(batch_free_cleanup) struct batch *batch = NULL;
	const char *params[] = {devices, commander->cell};

	*more = false;
	if (!pg_query(commander->pg, &seats, error, lock_sql, 2, params) ||
	    !pg_query(commander->pg, &rows, error, heads_sql, 2, params))
		return error_prefix(error, "reading queued commands");
	if (pg_rows(rows) == 0)
		return true;
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return error_set(error, ERROR_FAILED, "out of memory");
	batch->seats_rows = seats;
	batch->rows = rows;
	buf_init(&batch->holds, LIST_MAX_BYTES);
	take_seats(batch);
	for (size_t row = 0; row < pg_rows(rows); row++)
		if (!look_at(commander, batch, row, error))
			return false;
	crash_here(&commander->crash, CRASH_SIGNED);
	*more = pg_rows(rows) == BATCH_MAX;
	return store_counters(commander, batch, error) && store_holds(commander, batch, error) &&
	       moves_make(commander, batch->moves, batch->move_count, NULL, error);
}
