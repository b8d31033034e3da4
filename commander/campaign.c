#include "commander/campaign.h"

#include "commander/commander.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX_BYTES 1048576

static const char lock_sql[] =
	"select id from campaign where id in (select id from json_to_recordset($1::json) as m(id bigint))"
	" order by id for update";
static const char store_sql[] =
	"update campaign c set succeeded = c.succeeded + m.succeeded, failed = c.failed + m.failed,"
	" rejected = c.rejected + m.rejected, expired = c.expired + m.expired, cancelled = c.cancelled + m.cancelled,"
	" changed_at = now() from json_to_recordset($1::json) as m(id bigint, succeeded bigint, failed bigint,"
	" rejected bigint, expired bigint, cancelled bigint) where c.id = m.id";

static struct campaign_delta *find(struct campaigns *campaigns, int64_t id)
{
	// The last one first: a batch is mostly of one campaign.
	for (size_t i = campaigns->count; i > 0; i--) {
		if (campaigns->deltas[i - 1].id == id)
			return &campaigns->deltas[i - 1];
	}
	if (campaigns->count == CAMPAIGNS_MAX)
		return NULL;
	if (campaigns->count == campaigns->capacity) {
		size_t capacity = campaigns->capacity > 0 ? 2 * campaigns->capacity : 16;
		struct campaign_delta *deltas = realloc(campaigns->deltas, capacity * sizeof(*deltas));

		if (!deltas)
			return NULL;
		campaigns->deltas = deltas;
		campaigns->capacity = capacity;
	}
	campaigns->deltas[campaigns->count] = (struct campaign_delta){.id = id};
	return &campaigns->deltas[campaigns->count++];
}

bool campaign_note(struct campaigns *campaigns, const char *campaign, enum command_state from, enum command_state to)
{
	bool ends = command_state_is_final(to);
	bool ended = command_state_is_final(from);
	struct campaign_delta *delta = NULL;

	if (!campaign || !(ends || ended))
		return true;
	delta = find(campaigns, strtoll(campaign, NULL, 10));
	if (!delta)
		return false;
	delta->ended[to] += ends;
	delta->ended[from] -= ended;
	return true;
}

void campaign_forget(struct campaigns *campaigns)
{
	campaigns->count = 0;
}

void campaign_done(struct campaigns *campaigns)
{
	free(campaigns->deltas);
	*campaigns = (struct campaigns){0};
}

bool campaign_store(struct commander *commander, struct error *error)
{
	struct campaigns *campaigns = &commander->campaigns;
	auto_buf struct buf text = {0};
	const char *params[1];

	if (campaigns->count == 0)
		return true;
	buf_init(&text, LIST_MAX_BYTES);
	for (size_t i = 0; i < campaigns->count; i++) {
		const struct campaign_delta *delta = &campaigns->deltas[i];

		(void)buf_addf(&text, "%c{\"id\":%" PRId64, i == 0 ? '[' : ',', delta->id);
		for (int state = 0; state < STATE_COUNT; state++) {
			if (command_state_is_final((enum command_state)state))
				(void)buf_addf(&text, ",\"%s\":%" PRId64, command_state_name((enum command_state)state),
					       delta->ended[state]);
		}
		(void)buf_add_str(&text, "}");
	}
	(void)buf_add_str(&text, "]");
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "the commands of too many campaigns moved at once");
	params[0] = buf_str(&text);
	campaign_forget(campaigns);
	commander_due(commander, DUE_CAMPAIGNS);
	return ((pg_query(commander->pg, NULL, error, lock_sql, 1, params)) &&
		pg_query(commander->pg, NULL, error, store_sql, 1, params)) ||
	       error_prefix(error, "counting what became of a campaign's commands");
}
