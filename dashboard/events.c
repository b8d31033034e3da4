#include "dashboard/events.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/feed.h"

#include <stdio.h>
#include <string.h>

#define MEASURED "(extract(epoch from e.measured_at) * 1000000)::bigint"

// $1 device, $2 type, $3 limit, $4 to $7 measured_at, device, epoch and seq of the last one seen. which says again what
// the policy does, so that the database can begin from the devices of the scope where they are few.
#define LIST(which)                                                                                                    \
	"select json_build_object('device', e.device, 'epoch', e.epoch, 'seq', e.seq, 'ts', e.ts,"                     \
	" 'measured_at', e.measured_at, 'received_at', e.received_at, 'type', e.type, 'body', e.body),"                \
	" " MEASURED " || '.' || e.device || '.' || e.epoch || '.' || e.seq"                                           \
	" from event e where " which "($1::text is null or e.device = $1) and ($2::text is null or e.type = $2)"       \
	" and ($4::bigint is null or (e.measured_at, e.device, e.epoch, e.seq)"                                        \
	"  < (timestamptz 'epoch' + $4::bigint * interval '1 microsecond', $5::text, $6::text, $7::bigint))"           \
	" order by e.measured_at desc, e.device desc, e.epoch desc, e.seq desc limit $3::integer + 1"
static const char LIST_SQL[] = LIST("");
static const char LIST_OF_TENANT_SQL[] =
	LIST("e.device in (select d.device from device d where d.tenant = scope_tenant()) and ");
static const char LIST_OF_GROUPS_SQL[] = LIST("e.device in (select m.device from scope_member m) and ");

// By arrival: an event may be sent long after it happened.
const char events_changed_sql[] =
	"select e.device || '.' || e.epoch || '.' || e.seq, (extract(epoch from e.received_at) * 1000000)::bigint,"
	" json_build_object('device', e.device, 'epoch', e.epoch, 'seq', e.seq, 'ts', e.ts,"
	" 'measured_at', e.measured_at, 'received_at', e.received_at, 'type', e.type, 'body', e.body),"
	" e.device, " FEED_SCOPE_SQL " from (select * from event"
	" where received_at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond'"
	" and ($3::text[] is null or device = any ($3::text[])) order by received_at desc limit $2::integer) e"
	" join device d on d.device = e.device order by e.received_at desc";

enum { CURSOR_PARTS = 4 };

void events_list(struct http_request *request, void *user)
{
	const char *after = api_text(request, "after");
	char cursor[API_CURSOR_MAX], limit_text[24], *parts[CURSOR_PARTS] = {NULL};
	int64_t limit = 0, ignored = 0;

	if (!api_limit(request, &limit))
		return;
	if (after) {
		(void)snprintf(cursor, sizeof(cursor), "%s", after);
		if (!api_split_cursor(cursor, parts, CURSOR_PARTS) || !api_parse_int(parts[0], &ignored) ||
		    !api_parse_int(parts[3], &ignored)) {
			(void)api_bad_cursor(request);
			return;
		}
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_text(request, "device"), api_text(request, "type"), limit_text, parts[0],
				      parts[1], parts[2], parts[3]};

	const struct scope *scope = &auth_of(request)->scope;
	const char *sql = params[0] || scope_is_all(scope) ? LIST_SQL
			  : scope->groups[0]		   ? LIST_OF_GROUPS_SQL
							   : LIST_OF_TENANT_SQL;

	if (api_query(user, request, &rows, sql, 7, params))
		api_reply_page(request, rows, limit);
}
