#include "commander/transition.h"

#include "common/json.h"
#include "common/limits.h"

#include <string.h>

static const struct {
	const char *text;
	bool final;
} states[STATE_COUNT] = {
#define X(name, text, final) [name] = {text, final},
	COMMAND_STATES(X)
#undef X
};

static const struct {
	enum command_state from, to;
} table[] = {
#define X(from, to) {from, to},
	COMMAND_MOVES(X)
#undef X
};

// One UPDATE per command, however many moves it makes; one command_event row per move.
static const char apply_sql[] =
	"with m as (select * from json_to_recordset($1::json) as j(ord int, id uuid, source text, target text, cause"
	" text, reason text, result jsonb, n bigint, jws text, ends boolean, next bigint, timer bigint)),"
	" g as (select id, (array_agg(source order by ord))[1] as source, (array_agg(target order by ord desc))[1] as"
	" target, (array_agg(ends order by ord desc))[1] as ends, max(n) as n, max(jws) as jws,"
	" (array_agg(reason order by ord desc) filter (where reason is not null))[1] as reason,"
	" (array_agg(result order by ord desc) filter (where result is not null))[1] as result,"
	" (array_agg(next order by ord desc))[1] * interval '1 millisecond' as next,"
	" (array_agg(timer order by ord desc))[1] * interval '1 millisecond' as timer,"
	" (count(*) filter (where target = 'sent'))::int as publishes from m group by id),"
	" u as (update command c set state = g.target, n = coalesce(g.n, c.n), jws = coalesce(g.jws, c.jws),"
	" reason = coalesce(g.reason, c.reason), result = coalesce(g.result, c.result),"
	" attempts = c.attempts + g.publishes,"
	" retries = case when g.publishes > 0 then 0 else c.retries end,"
	" next_at = coalesce(now() + g.next, c.next_at),"
	" held = g.target = 'queued' and coalesce(g.next > interval '0', false),"
	" accept_by = case when g.target = 'sent' then now() + g.timer end,"
	" finish_by = case when g.target in ('accepted', 'running') then coalesce(c.finish_by, now() + g.timer) end,"
	" sent_at = case when g.publishes > 0 then now() else c.sent_at end,"
	" finished_at = case when g.ends then now() end, changed_at = now()"
	" from g where c.id = g.id and c.state = g.source"
	" returning c.id, c.device, c.action, c.request_id, c.reply_topic, c.correlation, c.reason, c.result, c.jws, "
	"c.campaign),"
	" e as (insert into command_event (command, state, cause, request_id)"
	" select m.id, m.target, m.cause, u.request_id from m join u on u.id = m.id order by m.ord)"
	" select m.ord, u.id, u.device, u.action, m.target, u.request_id, u.reply_topic, encode(u.correlation, 'hex'),"
	" u.reason, u.result, u.jws, (extract(epoch from now()) * 1000)::bigint, u.campaign"
	" from m join u on u.id = m.id order by m.ord";

// A request of 500 commands with 64 kB each would be beyond what one statement should carry; batches end long before.
#define MOVES_MAX_BYTES 268435456

const char *command_state_name(enum command_state state)
{
	return state < STATE_COUNT ? states[state].text : "?";
}

bool command_state_parse(const char *text, enum command_state *out)
{
	for (int i = 0; text && i < STATE_COUNT; i++) {
		if (strcmp(states[i].text, text) == 0) {
			*out = (enum command_state)i;
			return true;
		}
	}
	return false;
}

bool command_state_is_final(enum command_state state)
{
	return state < STATE_COUNT && states[state].final;
}

bool transition_allowed(enum command_state from, enum command_state to)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].from == from && table[i].to == to)
			return true;
	}
	return false;
}

static void add_text(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	(void)buf_addf(out, ",\"%s\":", name);
	(void)json_quote(out, value);
}

static void add_move(struct buf *out, size_t index, const struct transition *move)
{
	(void)buf_addf(out, "%s{\"ord\":%zu", index == 0 ? "" : ",", index);
	add_text(out, "id", move->command);
	add_text(out, "source", command_state_name(move->from));
	add_text(out, "target", command_state_name(move->to));
	add_text(out, "cause", move->cause);
	add_text(out, "reason", move->reason);
	add_text(out, "jws", move->jws);
	if (move->jws)
		(void)buf_addf(out, ",\"n\":%lld", (long long)move->counter);
	if (move->next_ms > 0)
		(void)buf_addf(out, ",\"next\":%lld", (long long)move->next_ms);
	if (move->timer_ms > 0)
		(void)buf_addf(out, ",\"timer\":%lld", (long long)move->timer_ms);
	if (move->result)
		(void)buf_addf(out, ",\"result\":%s", move->result);
	(void)buf_addf(out, ",\"ends\":%s}", command_state_is_final(move->to) ? "true" : "false");
}

bool transition_apply(struct pg *pg, const struct transition *moves, size_t count, struct pg_result **moved,
		      struct error *error)
{
	auto_buf struct buf text = {0};
	const char *params[1];

	buf_init(&text, MOVES_MAX_BYTES);
	(void)buf_add_str(&text, "[");
	for (size_t i = 0; i < count; i++) {
		if (!transition_allowed(moves[i].from, moves[i].to))
			return error_set(error, ERROR_INVALID, "command %s cannot move from %s to %s", moves[i].command,
					 command_state_name(moves[i].from), command_state_name(moves[i].to));
		add_move(&text, i, &moves[i]);
	}
	(void)buf_add_str(&text, "]");
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "%zu moves are too many for one statement", count);
	params[0] = buf_str(&text);
	return pg_query(pg, moved, error, apply_sql, 1, params) ||
	       error_prefix(error, "moving %zu command%s", count, count == 1 ? "" : "s");
}
