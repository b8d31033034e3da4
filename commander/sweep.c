#include "commander/sweep.h"

#include "commander/campaign.h"
#include "commander/commander.h"
#include "commander/moves.h"

#include "common/device_sql.h"
#include "common/query_pg.h"
#include "common/rollout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAMPAIGNS_A_TURN "1000"
#define FOUND "1000"
#define FOUND_MAX 1000
#define RELEASE_MAX 500 // as many as request.c takes in one transaction: single commands are not held up for longer
#define CANCEL "500"
#define CANCEL_MAX 500
#define STATEMENT_MAX_BYTES 131072
#define FIRST_PARAM 6 // of the query, in found_sql

// The pace moves by at most some seconds a turn: a campaign whose commander was away does not make up for it at once.
static const char select_sql[] =
	"select id, state, stage, query, devices, continuous, canary, success_pct, error_pct, rate_per_min, factor,"
	" sweep_cursor, swept, not swept or (continuous and swept_at < now() - make_interval(secs => $1)),"
	" pace_s + least(greatest(extract(epoch from now() - coalesce(paced_at, now())), 0), 5), total, released,"
	" succeeded, failed + rejected, expired, cancelled, forgiven_errors, forgiven_ends, approved_by <> '', "
	"created_by, tenant, groups"
	" from campaign where state in ('running', 'aborting') and (state = 'aborting' or not_before is null"
	" or not_before <= now()) order by paced_at nulls first, id "
	"limit " CAMPAIGNS_A_TURN " for update skip locked";
enum column {
	ID,
	STATE,
	STAGE,
	QUERY,
	DEVICES,
	CONTINUOUS,
	CANARY,
	SUCCESS_PCT,
	ERROR_PCT,
	RATE_PER_MIN,
	FACTOR,
	CURSOR,
	SWEPT,
	SWEEP_DUE,
	PACE_S,
	TOTAL,
	RELEASED,
	SUCCEEDED,
	ERRORS,
	EXPIRED,
	CANCELLED,
	FORGIVEN_ERRORS,
	FORGIVEN_ENDS,
	APPROVED,
	CREATED_BY,
	TENANT,
	GROUPS
};

// $1 campaign, $2 behind which device, $3 these devices or null for all, $4 tenant or null for all, $5 of these
// groups of it or null.
static const char found_sql[] =
	"with found as (select d.device from device d left join device_state s on s.device = d.device"
	" where d.device > $2 and ($3::text[] is null or d.device = any ($3)) and ($4::text is null or d.tenant = $4)"
	" and ($5::text[] is null or exists (select from device_group_member m where m.device = d.device"
	" and m.tenant = d.tenant and m.group_name = any ($5))) and " DEVICE_TARGET_SQL
	" and not exists (select from campaign_target t where t.campaign = $1 and t.device = d.device) and ";
static const char found_end_sql[] =
	" order by d.device limit " FOUND "),"
	" added as (insert into campaign_target (campaign, device, place)"
	" select $1, device, hashtext($1 || ' ' || device) from found on conflict do nothing returning 1)"
	" select (select count(*) from found), (select max(device) from found), (select count(*) from added)";

// Names in the query are of the campaign's tenant.
static const char tenant_sql[] = "select set_config('muster.tenant', coalesce($1, ''), true)";

// $1 campaign, $2 how many. Should a command be there already, it is the target's.
#define RELEASE(picked)                                                                                            \
	"with picked as (" picked "),"                                                                             \
	" made as (insert into command (device, action, params, requested_by, source, request_id, expires_at,"     \
	" campaign, confirmed, in_window) select p.device, c.action, c.params, c.created_by, 'campaign',"          \
	" c.request_id, now() + make_interval(secs => c.ttl_s), c.id, c.confirmed, c.in_window from picked p,"     \
	" campaign c where c.id = $1"                                                                              \
	" on conflict (campaign, device) where campaign is not null do update set campaign = excluded.campaign"    \
	" returning id, device)"                                                                                   \
	" update campaign_target t set state = 'released', command = made.id from made"                            \
	" where t.campaign = $1 and t.device = made.device"
static const char release_sql[] =
	RELEASE("select device from campaign_target where campaign = $1 and state = 'waiting'"
		" order by place, device limit $2");
// Canaries are taken from those that can answer now.
static const char release_canaries_sql[] =
	RELEASE("select t.device from campaign_target t left join device_state s on s.device = t.device"
		" where t.campaign = $1 and t.state = 'waiting'"
		" order by case when s.presence = 'online' then 0 else 1 end, t.place, t.device limit $2");

static const char store_sql[] =
	"update campaign set state = $2, stage = $3, reason = $4, stopped = $5, sweep_cursor = $6, swept = $7,"
	" swept_at = case when $8 then now() else swept_at end, total = total + $9::bigint,"
	" released = released + $10::bigint, pace_s = $11, paced_at = now(), changed_at = now(),"
	" finished_at = case when $2 in ('finished', 'aborted') then now() end where id = $1";
static const char audit_sql[] =
	"insert into audit (actor, action, target, detail) values ('svc.commander', $1, 'campaign ' || $2,"
	" jsonb_build_object('reason', $3::text))";

static const char unsent_sql[] =
	"select id, state, device from command where campaign = $1 and state in ('requested', 'queued') and device > $2"
	" order by device limit " CANCEL " for update skip locked";
static const char any_unsent_sql[] =
	"select exists (select from command where campaign = $1 and state in ('requested', 'queued'))";

// One campaign in this transaction: what it is, and what is to be stored.
struct work {
	const struct pg_result *rows;
	size_t row;
	const char *id, *state, *stage;
	char cursor[DEVICE_ID_MAX + 1];
	char reason[512];
	bool stopped, swept, sweep_ended, changed, more; // more: something is left to do at once
	int64_t added, released;
	double pace_s;
};

static int64_t number(const struct work *work, enum column column)
{
	return pg_int(work->rows, work->row, column);
}

static const char *text_of(const struct work *work, enum column column)
{
	return pg_text(work->rows, work->row, column);
}

static double real(const struct work *work, enum column column)
{
	return strtod(text_of(work, column), NULL);
}

// It goes into another state, and people can read why.
static bool move(struct commander *commander, struct work *work, const char *state, const char *cause,
		 const char *reason, struct error *error)
{
	work->state = state;
	work->changed = true;
	(void)snprintf(work->reason, sizeof(work->reason), "%s", reason);
	log_info("campaign.moved", "campaign", work->id, "state", state, "reason", reason);
	return PG_QUERY(commander->pg, NULL, error, audit_sql, cause, work->id, reason);
}

// ---- finding ----

static bool find_batch(struct commander *commander, struct work *work, const struct query *query, struct error *error)
{
	auto_pg_result struct pg_result *found = NULL;
	auto_buf struct buf sql = {0};
	const char *params[FIRST_PARAM - 1 + QUERY_PARAMS_MAX] = {work->id, work->cursor, text_of(work, DEVICES),
							     text_of(work, TENANT), text_of(work, GROUPS)};
	bool whole = false;

	buf_init(&sql, STATEMENT_MAX_BYTES);
	(void)buf_addf(&sql, "%s%s%s", found_sql, buf_str(&query->sql), found_end_sql);
	if (sql.overflowed)
		return error_set(error, ERROR_LIMIT, "the query of campaign %s is too long", work->id);
	for (size_t i = 0; i < query->count; i++)
		params[FIRST_PARAM - 1 + i] = query->params[i];
	if (!pg_query(commander->pg, &found, error, buf_str(&sql), FIRST_PARAM - 1 + query->count, params))
		return error_prefix(error, "finding the devices of campaign %s", work->id);
	whole = pg_int(found, 0, 0) < FOUND_MAX;
	work->added = pg_int(found, 0, 2);
	work->changed = true;
	work->sweep_ended = whole;
	work->swept = work->swept || whole;
	work->more = true;
	(void)snprintf(work->cursor, sizeof(work->cursor), "%s", whole ? "" : pg_text(found, 0, 1));
	return true;
}

static bool find(struct commander *commander, struct work *work, struct error *error)
{
	const struct query_options options = {FIRST_PARAM, query_pg_resolve, commander->pg, false};
	struct error own = {0};
	auto_query struct query query = {0};

	if (!PG_QUERY(commander->pg, NULL, error, tenant_sql, text_of(work, TENANT)))
		return false;
	if (query_compile(text_of(work, QUERY), &options, &query, &own))
		return find_batch(commander, work, &query, error);
	if (own.kind == ERROR_INVALID || own.kind == ERROR_NOT_FOUND || own.kind == ERROR_LIMIT)
		return move(commander, work, "paused", "campaign.stop", own.what, error);
	if (error)
		*error = own;
	return error_prefix(error, "reading whom campaign %s is for", work->id);
}

// ---- releasing ----

static bool release(struct commander *commander, struct work *work, int64_t count, bool canaries, struct error *error)
{
	auto_pg_result struct pg_result *made = NULL;
	char limit[24];

	work->more = count > RELEASE_MAX;
	(void)snprintf(limit, sizeof(limit), "%" PRId64, count < RELEASE_MAX ? count : (int64_t)RELEASE_MAX);
	if (!PG_QUERY(commander->pg, &made, error, canaries ? release_canaries_sql : release_sql, work->id, limit))
		return error_prefix(error, "requesting the commands of campaign %s", work->id);
	work->released = (int64_t)pg_affected(made);
	work->changed = true;
	if (work->released > 0)
		commander_due(commander, DUE_REQUESTS);
	return true;
}

static struct rollout_counts counts_of(const struct work *work)
{
	return (struct rollout_counts){
		.total = number(work, TOTAL),
		.released = number(work, RELEASED),
		.succeeded = number(work, SUCCEEDED),
		.errors = number(work, ERRORS),
		.expired = number(work, EXPIRED),
		.cancelled = number(work, CANCELLED),
		.forgiven_errors = number(work, FORGIVEN_ERRORS),
		.forgiven_ends = number(work, FORGIVEN_ENDS),
		.swept = work->swept,
		.continuous = pg_bool(work->rows, work->row, CONTINUOUS),
	};
}

static bool roll_out(struct commander *commander, struct work *work, struct error *error)
{
	const struct rollout rollout = {
		.canary = number(work, CANARY),
		.success_pct = real(work, SUCCESS_PCT),
		.error_pct = real(work, ERROR_PCT),
		.rate_per_min = real(work, RATE_PER_MIN),
		.factor = real(work, FACTOR),
	};
	const struct rollout_counts counts = counts_of(work);
	bool canaries = strcmp(work->stage, "canary") == 0;
	struct rollout_decision decision;

	rollout_decide(&rollout, &counts, canaries, work->pace_s, &decision);
	switch (decision.verdict) {
	case ROLLOUT_RELEASE:
		// While it rolls, each turn's time counts.
		work->changed = work->changed || (!canaries && counts.released < counts.total);
		return decision.release == 0 || release(commander, work, decision.release, canaries, error);
	case ROLLOUT_GO_ON:
		work->stage = "rollout";
		work->pace_s = 0;
		work->changed = true;
		work->more = true;
		return true;
	case ROLLOUT_STOP:
		work->stopped = true;
		return move(commander, work, "paused", "campaign.stop", decision.reason, error);
	case ROLLOUT_FINISH:
		return move(commander, work, "finished", "campaign.finish", "", error);
	}
	return true;
}

static bool needs_approval(const struct commander *commander, const struct work *work)
{
	long above = commander->options->approve_above;

	return above > 0 && work->swept && number(work, TOTAL) > above && !pg_bool(work->rows, work->row, APPROVED);
}

// ---- aborting ----

static bool finish_abort(struct commander *commander, struct work *work, struct error *error)
{
	auto_pg_result struct pg_result *left = NULL;

	if (!PG_QUERY(commander->pg, &left, error, any_unsent_sql, work->id))
		return false;
	work->cursor[0] = '\0';
	work->changed = true;
	return pg_bool(left, 0, 0) || // another commander has them: next time
	       move(commander, work, "aborted", "campaign.aborted", "", error);
}

static bool cancel_batch(struct commander *commander, struct work *work, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct transition moves[CANCEL_MAX];
	size_t count = 0;

	if (!PG_QUERY(commander->pg, &rows, error, unsent_sql, work->id, work->cursor))
		return error_prefix(error, "cancelling the commands of campaign %s", work->id);
	if (pg_rows(rows) == 0)
		return finish_abort(commander, work, error);
	for (; count < pg_rows(rows) && count < CANCEL_MAX; count++) {
		enum command_state from = STATE_REQUESTED;

		if (!command_state_parse(pg_text(rows, count, 1), &from))
			return error_set(error, ERROR_FAILED, "a command is in no state");
		moves[count] = (struct transition){.command = pg_text(rows, count, 0),
						   .from = from,
						   .to = STATE_CANCELLED,
						   .cause = "abort",
						   .reason = "its campaign was aborted"};
	}
	(void)snprintf(work->cursor, sizeof(work->cursor), "%s", pg_text(rows, count - 1, 2));
	work->changed = true;
	work->more = true;
	return moves_make(commander, moves, count, NULL, error);
}

// ---- one campaign ----

static bool store(struct commander *commander, const struct work *work, struct error *error)
{
	char pace[32];
	char added[24];
	char released[24];

	(void)snprintf(pace, sizeof(pace), "%.6f", work->pace_s);
	(void)snprintf(added, sizeof(added), "%" PRId64, work->added);
	(void)snprintf(released, sizeof(released), "%" PRId64, work->released);
	return PG_QUERY(commander->pg, NULL, error, store_sql, work->id, work->state, work->stage, work->reason,
			work->stopped ? "t" : "f", work->cursor, work->swept ? "t" : "f",
			work->sweep_ended ? "t" : "f", added, released, pace) ||
	       error_prefix(error, "storing campaign %s", work->id);
}

static bool work_on(struct commander *commander, struct work *work, struct error *error)
{
	if (strcmp(work->state, "aborting") == 0)
		return cancel_batch(commander, work, error);
	if (pg_bool(work->rows, work->row, SWEEP_DUE))
		return find(commander, work, error);
	if (needs_approval(commander, work)) {
		char reason[160];

		(void)snprintf(reason, sizeof(reason),
			       "%s devices are more than %ld: another person than %.40s must approve",
			       text_of(work, TOTAL), commander->options->approve_above, text_of(work, CREATED_BY));
		return move(commander, work, "pending", "campaign.pending", reason, error);
	}
	return roll_out(commander, work, error);
}

bool sweep_run(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	bool more = false;
	char again_s[24];

	if (!campaign_store(commander, error))
		return false;
	if (!(commander->due & DUE_CAMPAIGNS))
		return true;
	(void)snprintf(again_s, sizeof(again_s), "%ld", commander->options->sweep_s);
	if (!PG_QUERY(commander->pg, &rows, error, select_sql, again_s))
		return error_prefix(error, "reading campaigns");
	for (size_t row = 0; row < pg_rows(rows); row++) {
		struct work work = {.rows = rows, .row = row};

		work.id = text_of(&work, ID);
		work.state = text_of(&work, STATE);
		work.stage = text_of(&work, STAGE);
		work.swept = pg_bool(rows, row, SWEPT);
		work.pace_s = real(&work, PACE_S);
		(void)snprintf(work.cursor, sizeof(work.cursor), "%s", text_of(&work, CURSOR));
		if (!work_on(commander, &work, error) || (work.changed && !store(commander, &work, error)))
			return false;
		commander->moved = commander->moved || work.changed;
		more = more || work.more;
	}
	if (!more)
		commander->due &= ~(unsigned)DUE_CAMPAIGNS;
	// What an abort has moved.
	return campaign_store(commander, error);
}
