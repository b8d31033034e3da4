#include "dashboard/outputs.h"

#include "common/limits.h"
#include "dashboard/api.h"
#include "dashboard/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_CHUNKS_MAX "65536"

static const char DEVICE_SQL[] = "select device from command where id::text = lower($1)";
// $1 the command's own device (what another one sends under this id is not shown), $2 command, $3 n of the last one
// seen, $4 limit. Chunks behind a missing one wait until it has come, so that nobody reads a text with a hole.
#define CHUNKS \
	" from (select *, row_number() over (order by n) - 1 as place from command_output" \
	" where device = $1 and command = lower($2)) o where o.n = o.place and o.n > $3::bigint"
static const char LIST_SQL[] =
	"select json_build_object('n', o.n, 'ts', o.ts, 'data', o.data, 'end', o.last, 'cut', o.cut), o.n::text" CHUNKS
	" order by o.n limit $4::integer + 1";
static const char TEXT_SQL[] = "select coalesce(string_agg(o.data, '' order by o.n), '')" CHUNKS
			       " and o.n <= $4::integer";

// The text itself where it is short, as a program prints it little by little; of a long one only that it is there.
const char outputs_changed_sql[] =
	"select o.device || '.' || o.command || '.' || o.n, (extract(epoch from o.received_at) * 1000000)::bigint,"
	" json_build_object('device', o.device, 'command', o.command, 'n', o.n, 'end', o.last, 'cut', o.cut,"
	" 'data', case when octet_length(o.data) <= 8192 then o.data end), o.device, " FEED_SCOPE_SQL
	" from (select * from command_output"
	" where received_at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond'"
	" and ($3::text[] is null or device = any ($3::text[]))"
	" order by received_at desc, n desc limit $2::integer) o"
	" join device d on d.device = o.device order by o.received_at desc, o.n desc";

void outputs_get(struct http_request *request, void *user)
{
	const char *format = api_text(request, "format");
	bool text = format && strcmp(format, "text") == 0;
	const char *id = http_param(request, "id");
	auto_pg_result struct pg_result *device = NULL;
	auto_pg_result struct pg_result *rows = NULL;
	char after_text[24];
	char limit_text[24] = TEXT_CHUNKS_MAX;
	int64_t after = -1;
	int64_t limit = 0;

	if (format && !text && strcmp(format, "json") != 0) {
		http_reply_problem(request, 400, "\"format\" must be json or text.");
		return;
	}
	if (!api_int(request, "after", -1, STREAM_CHUNKS_MAX, &after) || !api_limit(request, &limit) ||
	    !api_query(user, request, &device, DEVICE_SQL, 1, &id))
		return;
	if (pg_rows(device) == 0) {
		http_reply_problem(request, 404, "There is no command with this id; GET /api/v1/commands lists them.");
		return;
	}
	(void)snprintf(after_text, sizeof(after_text), "%" PRId64, after);
	if (!text)
		(void)snprintf(limit_text, sizeof(limit_text), "%" PRId64, limit);

	const char *const params[] = {pg_text(device, 0, 0), id, after_text, limit_text};

	if (!api_query(user, request, &rows, text ? TEXT_SQL : LIST_SQL, 4, params))
		return;
	if (text)
		http_reply(request, 200, "text/plain; charset=utf-8", pg_text(rows, 0, 0), strlen(pg_text(rows, 0, 0)));
	else
		api_reply_page(request, rows, limit);
}
