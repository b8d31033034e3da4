#include "commander/console.h"

#include "commander/commander.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/topic.h"

#include <stdio.h>
#include <string.h>

#define PART_LINES 2000 // of a message; of up to 64 bytes each

// Those that a guard would still take; a minute more, for the clocks differ.
static const char ENDED_SQL[] =
	"select client_id || ' ' || ceil(extract(epoch from expires_at))::bigint from console_credential"
	" where ended_at is not null and expires_at > now() - interval '1 minute' order by expires_at desc";

void console_tell_all(struct commander *commander)
{
	commander->console_ends.all = true;
	commander_due(commander, DUE_CONSOLES);
}

void console_ended(struct commander *commander, const char *payload)
{
	struct console_ends *ends = &commander->console_ends;

	commander_due(commander, DUE_CONSOLES);
	if (ends->count == CONSOLE_ENDS_MAX || strlen(payload) >= sizeof(ends->ends[0].text))
		ends->all = true;
	else
		(void)snprintf(ends->ends[ends->count++].text, sizeof(ends->ends[0].text), "%s", payload);
}

static bool add_text(struct buf *out, size_t n, const char *text)
{
	return buf_add_str(out, n == 0 ? "" : ",") && json_quote(out, text);
}

static bool send(struct commander *commander, const struct buf *ended, bool complete, struct error *error)
{
	auto_buf struct buf payload;
	struct outgoing_message message = {.topic = TOPIC_CONTROL};

	buf_init(&payload, PAYLOAD_MAX_BYTES);
	buf_addf(&payload, "{\"op\":\"consoles\",\"ended\":[%s]%s}", buf_str(ended),
		 complete ? ",\"complete\":true" : "");
	message.payload = buf_str(&payload);
	return (!ended->overflowed && !payload.overflowed && outgoing_add(&commander->outgoing, &message)) ||
	       error_set(error, ERROR_LIMIT, "too many messages wait to be published");
}

static bool send_all(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	size_t row = 0;

	if (!pg_query(commander->pg, &rows, error, ENDED_SQL, 0, NULL))
		return false;
	do {
		auto_buf struct buf ended;

		buf_init(&ended, PAYLOAD_MAX_BYTES / 2);
		for (size_t n = 0; n < PART_LINES && row < pg_rows(rows); n++, row++)
			(void)add_text(&ended, n, pg_text(rows, row, 0));
		if (!send(commander, &ended, row == pg_rows(rows), error))
			return false;
	} while (row < pg_rows(rows));
	return true;
}

static bool send_some(struct commander *commander, struct error *error)
{
	const struct console_ends *ends = &commander->console_ends;
	auto_buf struct buf ended;

	buf_init(&ended, PAYLOAD_MAX_BYTES / 2);
	for (size_t i = 0; i < ends->count; i++)
		(void)add_text(&ended, i, ends->ends[i].text);
	return send(commander, &ended, false, error);
}

bool console_run(struct commander *commander, struct error *error)
{
	struct console_ends *ends = &commander->console_ends;

	commander->due &= ~(unsigned)DUE_CONSOLES;
	if (!mqtt_connected(commander->mqtt))
		return true; // with the next connect all are told
	if (!(ends->all ? send_all(commander, error) : ends->count == 0 || send_some(commander, error)))
		return error_prefix(error, "telling the broker which consoles have ended");
	ends->count = 0;
	ends->all = false;
	return true;
}
