#include "dashboard/audit.h"

#include "common/clock.h"
#include "dashboard/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHECK_DEFAULT 5000 // links looked at in one answer: some 20 us each
#define CHECK_MAX 5000

#define ENTRY                                                                                                          \
	"json_build_object('position', l.position, 'id', a.id, 'at', a.at, 'actor', a.actor, 'action', a.action,"      \
	" 'target', a.target, 'peer', a.peer, 'request_id', a.request_id, 'detail', a.detail,"                         \
	" 'hash', encode(l.hash, 'hex'))"

// $1 actor, $2 action, $3 what an action begins with, $4 target, $5 device, $6 from, $7 to (ms), $8 and $9 the time
// (us) and id behind which to go on, $10 how many. Parameters that are null fall out when the statement is planned.
static const char LIST_SQL[] =
	"select " ENTRY ", (extract(epoch from a.at) * 1000000)::bigint || '.' || a.id"
	" from audit a left join audit_link l on l.audit = a.id"
	" where ($1::text is null or a.actor = $1) and ($2::text is null or a.action = $2)"
	" and ($3::text is null or starts_with(a.action, $3)) and ($4::text is null or a.target = $4)"
	" and ($5::text is null or a.target = $5 or (a.detail ? 'device' and a.detail ->> 'device' = $5))"
	" and ($6::bigint is null or a.at >= to_timestamp($6::bigint / 1000.0))"
	" and ($7::bigint is null or a.at < to_timestamp($7::bigint / 1000.0))"
	" and ($8::bigint is null or (a.at, a.id) < (timestamptz 'epoch' + $8::bigint * interval '1 microsecond', "
	"$9::bigint))"
	" order by a.at desc, a.id desc limit $10::integer + 1";
const char audit_changed_sql[] =
	"select a.id, (extract(epoch from a.at) * 1000000)::bigint, " ENTRY ", null, a.tenant, null"
	" from audit a left join audit_link l on l.audit = a.id"
	" where a.at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond' and $3::text[] is null"
	" order by a.at desc, a.id desc limit $2::integer";
static const char CHECK_SQL[] =
	"select json_build_object('start', c.start, 'checked', c.checked, 'hash', c.hash, 'ok', c.fault is null,"
	" 'wrong', c.wrong, 'fault', c.fault, 'head', json_build_object('position', coalesce(c.head, 0), 'hash', "
	"c.head_hash))"
	" from check_audit($1::bigint, $2::integer) as c";

// A time as RFC 3339 or ms since 1970; answers 400 itself.
static bool read_time(struct http_request *request, const char *name, char out[24], const char **value)
{
	const char *text = api_text(request, name);
	int64_t at_ms = 0;
	char detail[128];

	if (!text)
		return true;
	if (api_parse_int(text, &at_ms) || clock_parse_rfc3339(text, strlen(text), &at_ms)) {
		(void)snprintf(out, 24, "%" PRId64, at_ms);
		*value = out;
		return true;
	}
	(void)snprintf(detail, sizeof(detail), "\"%s\" must be a time such as 2026-11-21T12:00:00Z, or ms since 1970.",
		       name);
	http_reply_problem(request, 400, detail);
	return false;
}

void audit_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *after = api_text(request, "after"), *action = api_text(request, "action");
	char cursor[API_CURSOR_MAX], limit_text[24], from_text[24], to_text[24];
	const char *from = NULL, *to = NULL;
	char *parts[2] = {NULL, NULL};
	int64_t limit = 0, number = 0;
	bool family = action && action[strlen(action) - 1] == '.';

	if (!api_limit(request, &limit) || !read_time(request, "from", from_text, &from) ||
	    !read_time(request, "to", to_text, &to))
		return;
	(void)snprintf(limit_text, sizeof(limit_text), "%" PRId64, limit);
	(void)snprintf(cursor, sizeof(cursor), "%s", after ? after : "");
	if (after && (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &number) ||
		      !api_parse_int(parts[1], &number))) {
		(void)api_bad_cursor(request);
		return;
	}

	const char *const params[] = {api_text(request, "actor"),
				      family ? NULL : action,
				      family ? action : NULL,
				      api_text(request, "target"),
				      api_text(request, "device"),
				      from,
				      to,
				      parts[0],
				      parts[1],
				      limit_text};

	if (api_query_again(user, request, &rows, LIST_SQL, sizeof(params) / sizeof(params[0]), params))
		api_reply_page(request, rows, limit);
}

// In steps, so that no answer takes long however long the chain is: each begins where the one before has "checked".
void audit_verify(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *row = NULL;
	int64_t after = 0, most = CHECK_DEFAULT;
	char after_text[24], most_text[24];

	if (!api_int(request, "after", 0, INT64_MAX, &after) || !api_int(request, "limit", 1, CHECK_MAX, &most))
		return;
	(void)snprintf(after_text, sizeof(after_text), "%" PRId64, after);
	(void)snprintf(most_text, sizeof(most_text), "%" PRId64, most);

	const char *const params[] = {after_text, most_text};

	if (api_query_again(user, request, &row, CHECK_SQL, 2, params))
		api_reply_row(request, row, "");
}
