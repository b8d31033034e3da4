#include "commander/request.h"

#include "commander/cell.h"
#include "commander/commander.h"
#include "commander/moves.h"

#include "common/command_request.h"

#include <string.h>

#define BATCH "500"
#define BATCH_MAX 500

// The lock makes two commanders take turns here, so that the commands of a device are queued in the order of the
// requests. Times that do not fit are brought into a range that does: they are refused below, not by a failed cast.
static const char lock_sql[] = "select pg_advisory_xact_lock(hashtext('muster.commander.requests'))";
#define MS(time) "(extract(epoch from least(greatest(" time ", 'epoch'), now() + interval '10 years')) * 1000)::bigint"
static const char select_sql[] = "select c.id, c.device, c.action, c.params, " MS(
	"c.expires_at") ", d.device is not null,"
			" coalesce(d.enabled, false), c.confirmed, c.source = 'internal',"
			" c.source not in ('internal', 'campaign') and command_over_limit(c.requested_by, "
			"c.created_at, c.number),"
			" (extract(epoch from now()) * 1000)::bigint, coalesce(" MS(
				"c.not_before") ", 0), c.in_window,"
						" coalesce(" MS(
							"w.opens") ", 0) from command c left join device d on d.device "
								   "= c.device"
								   " left join lateral (select opens from "
								   "next_window(d.time_zone, d.maintenance_window,"
								   " least(greatest(c.not_before, now()), now() + "
								   "interval '10 years')) where c.in_window) w on true"
								   " where c.state = 'requested' and " CELL_HAS(
									   "c.device",
									   "1") " order by c.number limit " BATCH
										" for update of c skip locked";
enum column {
	ID,
	DEVICE,
	ACTION,
	PARAMS,
	EXPIRES_MS,
	KNOWN,
	ENABLED,
	CONFIRMED,
	INTERNAL,
	OVER_LIMIT,
	NOW_MS,
	BEGIN_MS,
	IN_WINDOW,
	OPENS_MS
};

struct batch {
	const struct pg_result *rows;
	struct transition moves[BATCH_MAX];
	struct refusal refusals[BATCH_MAX]; // by row
};

static void decide(struct batch *batch, size_t row)
{
	const struct pg_result *rows = batch->rows;
	const char *text = pg_text(rows, row, PARAMS);
	struct transition *move = &batch->moves[row];
	struct refusal *refusal = &batch->refusals[row];
	struct error error = {0};
	auto_json struct json *params = json_parse(text, strlen(text), &error);
	const struct command_demand demand = {
		.device = pg_text(rows, row, DEVICE),
		.device_known = pg_bool(rows, row, KNOWN),
		.device_enabled = pg_bool(rows, row, ENABLED),
		.action = pg_text(rows, row, ACTION),
		.params = params,
		.confirmed = pg_bool(rows, row, CONFIRMED),
		.internal = pg_bool(rows, row, INTERNAL),
		.over_limit = pg_bool(rows, row, OVER_LIMIT),
		.now_ms = pg_int(rows, row, NOW_MS),
		.begin_ms = pg_int(rows, row, BEGIN_MS),
		.expires_ms = pg_int(rows, row, EXPIRES_MS),
		.in_window = pg_bool(rows, row, IN_WINDOW),
		.opens_ms = pg_int(rows, row, OPENS_MS),
	};

	*move = (struct transition){
		.command = pg_text(rows, row, ID),
		.from = STATE_REQUESTED,
		.to = STATE_REJECTED,
		.cause = "request",
		.reason = refusal->detail,
	};
	if (demand.expires_ms <= demand.now_ms) {
		move->to = STATE_EXPIRED;
		move->cause = "timer";
		move->reason = "its time was over before it was queued";
	} else if (!params) {
		(void)refusal_set(refusal, "bad parameters", "params: %s", error.what);
	} else if (command_demand_check(&demand, refusal)) {
		move->to = STATE_QUEUED;
		move->reason = NULL;
		move->next_ms = command_demand_begin_ms(&demand) - demand.now_ms;
	}
}

bool request_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_free struct batch *batch = NULL;
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
	for (size_t row = 0; row < pg_rows(rows); row++)
		decide(batch, row);
	return moves_make(commander, batch->moves, pg_rows(rows), NULL, error);
}
