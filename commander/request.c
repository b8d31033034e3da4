#include "commander/request.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#include "common/action.h"
#include "common/clock.h"
#include "common/command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BATCH "500"
#define BATCH_MAX 500
#define LIST_MAX_BYTES 262144 // 500 short objects
#define TTL_SLACK_MS 60000    // the database's clock and ours

// The lock makes two commanders take turns here, so that a device's counter rises in the order of the requests. Times
// that do not fit are brought into a range that does: they are refused below, not by a failed cast.
static const char lock_sql[] = "select pg_advisory_xact_lock(hashtext('muster.commander.requests'))";
static const char select_sql[] =
	"with c as (select id, device, action, params, expires_at, created_at from command where state = 'requested'"
	" and " CELL_HAS("command.device", "1")
	" order by created_at, id limit " BATCH " for update skip locked),"
	" d as (select device, enabled, command_counter from device where device in (select device from c)"
	" order by device for update)"
	" select c.id, c.device, c.action, c.params,"
	" (extract(epoch from least(greatest(c.expires_at, 'epoch'), now() + interval '10 years')) * 1000)::bigint,"
	" d.device is not null, coalesce(d.enabled, false), coalesce(d.command_counter, 0),"
	" coalesce(w.busy, false) from c left join d on d.device = c.device"
	" left join lateral (select true as busy from command o where o.device = c.device and o.state in ('queued', "
	"'sent')"
	" limit 1) w on true order by c.created_at, c.id";
enum column { ID, DEVICE, ACTION, PARAMS, EXPIRES_MS, KNOWN, ENABLED, COUNTER, BUSY };

static const char counter_sql[] =
	"update device d set command_counter = m.n from json_to_recordset($1::json) as m(device text, n bigint)"
	" where d.device = m.device";

// What this batch knows of a device by now.
struct seat {
	const char *device;
	int64_t counter;
	bool busy;
};

struct batch {
	const struct pg_result *rows;
	int64_t now_ms;
	struct seat seats[BATCH_MAX];
	size_t seat_count;
	struct transition moves[2 * BATCH_MAX]; // queued, and sent
	size_t move_count;
	char *jws[BATCH_MAX];		    // owned, by row
	struct refusal refusals[BATCH_MAX]; // by row
};

void refusal_set(struct refusal *refusal, const char *what, const char *format, ...)
{
	va_list args;

	(void)snprintf(refusal->what, sizeof(refusal->what), "%s", what);
	va_start(args, format);
	(void)vsnprintf(refusal->detail, sizeof(refusal->detail), format, args);
	va_end(args);
}

bool request_check(const struct request *request, struct refusal *refusal)
{
	const struct action *action = action_find(request->action);
	struct error error = {0};

	if (!request->device_known)
		refusal_set(refusal, "unknown device", "no device \"%s\" is enrolled; muster device list shows all",
			    request->device);
	else if (!request->device_enabled)
		refusal_set(refusal, "device disabled", "device \"%s\" is disabled; an administrator can enable it",
			    request->device);
	else if (!action || action->internal)
		refusal_set(refusal, "unknown action",
			    "there is no action \"%s\"; docs/protocol.md, section 17, lists them", request->action);
	else if (!action_check_params(action, request->params, &error))
		refusal_set(refusal, "bad parameters", "%s", error.what);
	else if (request->ttl_ms > (int64_t)COMMAND_TTL_MAX_S * 1000 + TTL_SLACK_MS)
		refusal_set(refusal, "bad time limit", "a command may wait for at most %d days",
			    COMMAND_TTL_MAX_S / 86400);
	else
		return true;
	return false;
}

static struct seat *find_seat(struct batch *batch, size_t row)
{
	const char *device = pg_text(batch->rows, row, DEVICE);
	struct seat *seat = NULL;

	for (size_t i = 0; i < batch->seat_count; i++) {
		if (strcmp(batch->seats[i].device, device) == 0)
			return &batch->seats[i];
	}
	seat = &batch->seats[batch->seat_count++];
	*seat = (struct seat){device, pg_int(batch->rows, row, COUNTER), pg_bool(batch->rows, row, BUSY)};
	return seat;
}

static struct transition *next_move(struct batch *batch, size_t row, enum command_state from, enum command_state to,
				    const char *cause)
{
	struct transition *move = &batch->moves[batch->move_count++];

	*move = (struct transition){.command = pg_text(batch->rows, row, ID), .from = from, .to = to, .cause = cause};
	return move;
}

static void refuse(struct batch *batch, size_t row)
{
	next_move(batch, row, STATE_REQUESTED, STATE_REJECTED, "request")->reason = batch->refusals[row].detail;
}

// Signs and adds the moves of one request. A request that cannot be signed is refused: it would fail each time.
static void take(struct commander *commander, struct batch *batch, size_t row, const struct json *params)
{
	struct seat *seat = find_seat(batch, row);
	struct command command = {
		.issued_s = batch->now_ms / 1000,
		.expires_s = pg_int(batch->rows, row, EXPIRES_MS) / 1000,
		.counter = seat->counter + 1,
		.params = (struct json *)params, // only read
	};
	struct transition *queued = NULL;
	struct error error = {0};

	(void)snprintf(command.id, sizeof(command.id), "%s", pg_text(batch->rows, row, ID));
	(void)snprintf(command.device, sizeof(command.device), "%s", seat->device);
	(void)snprintf(command.action, sizeof(command.action), "%s", pg_text(batch->rows, row, ACTION));
	if (command.expires_s <= command.issued_s) // whole seconds on the wire
		command.expires_s = command.issued_s + 1;
	batch->jws[row] = command_sign(commander->signer, &command, &error);
	if (!batch->jws[row]) {
		refusal_set(&batch->refusals[row], "cannot be signed", "%s", error.what);
		refuse(batch, row);
		return;
	}
	seat->counter = command.counter;
	queued = next_move(batch, row, STATE_REQUESTED, STATE_QUEUED, "request");
	queued->jws = batch->jws[row];
	queued->counter = command.counter;
	if (!seat->busy && mqtt_connected(commander->mqtt)) {
		seat->busy = true;
		(void)next_move(batch, row, STATE_QUEUED, STATE_SENT, "publish");
	}
	seat->busy = true; // also when it only waits: those behind it wait too
}

static void decide(struct commander *commander, struct batch *batch, size_t row)
{
	const char *text = pg_text(batch->rows, row, PARAMS);
	struct error error = {0};
	auto_json struct json *params = json_parse(text, strlen(text), &error);
	struct request request = {
		.device = pg_text(batch->rows, row, DEVICE),
		.device_known = pg_bool(batch->rows, row, KNOWN),
		.device_enabled = pg_bool(batch->rows, row, ENABLED),
		.action = pg_text(batch->rows, row, ACTION),
		.params = params,
		.ttl_ms = pg_int(batch->rows, row, EXPIRES_MS) - batch->now_ms,
	};

	if (request.ttl_ms <= 0) {
		next_move(batch, row, STATE_REQUESTED, STATE_EXPIRED, "timer")->reason =
			"its time was over before it was queued";
	} else if (!params) {
		refusal_set(&batch->refusals[row], "bad parameters", "params: %s", error.what);
		refuse(batch, row);
	} else if (!request_check(&request, &batch->refusals[row])) {
		refuse(batch, row);
	} else {
		take(commander, batch, row, params);
	}
}

static bool store_counters(struct commander *commander, const struct batch *batch, struct error *error)
{
	auto_buf struct buf text = {0};
	const char *params[1];

	if (batch->seat_count == 0)
		return true;
	buf_init(&text, LIST_MAX_BYTES);
	for (size_t i = 0; i < batch->seat_count; i++)
		(void)buf_addf(&text, "%c{\"device\":\"%s\",\"n\":%" PRId64 "}", i == 0 ? '[' : ',',
			       batch->seats[i].device, batch->seats[i].counter);
	(void)buf_add_str(&text, "]");
	params[0] = buf_str(&text);
	return pg_query(commander->pg, NULL, error, counter_sql, 1, params);
}

static void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	for (size_t i = 0; i < BATCH_MAX; i++)
		free(batch->jws[i]);
	free(batch);
}
DEFINE_CLEANUP(struct batch, batch_free)

bool request_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	cleanup(batch_free_cleanup) struct batch *batch = NULL;

	const char *params[] = {commander->cell};

	if (!pg_exec(commander->pg, lock_sql, error) || !pg_query(commander->pg, &rows, error, select_sql, 1, params))
		return error_prefix(error, "reading requests");
	if (pg_rows(rows) < BATCH_MAX)
		commander->due &= ~(unsigned)DUE_REQUESTS;
	if (pg_rows(rows) == 0)
		return true;
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return error_set(error, ERROR_FAILED, "out of memory");
	batch->rows = rows;
	batch->now_ms = clock_wall_ms();
	for (size_t row = 0; row < pg_rows(rows); row++)
		decide(commander, batch, row);
	return store_counters(commander, batch, error) &&
	       moves_make(commander, batch->moves, batch->move_count, NULL, error);
}
