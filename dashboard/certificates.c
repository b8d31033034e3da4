#include "dashboard/certificates.h"

#include "dashboard/api.h"

#include <stdio.h>
#include <string.h>

#define EXPIRING_DAYS 30
#define DAYS_MAX 3650

// An agent renews at two thirds of the lifetime: whoever has less than a third left has not been able to.
#define OVERDUE_SQL "c.not_after - now() < (c.not_after - c.not_before) / 3"
#define ITEM_SQL                                                                                                       \
	"jsonb_build_object('serial', c.serial, 'device', c.device, 'sha256', c.sha256, 'not_before', c.not_before,"   \
	" 'not_after', c.not_after, 'created_at', c.created_at, 'revoked_at', c.revoked_at,"                           \
	" 'authority', c.authority, 'overdue', " OVERDUE_SQL ", 'in_use', ltrim(c.serial, '0') = s.certificate,"       \
	" 'last_seen', s.last_seen, 'state', case when c.revoked_at is not null then 'revoked'"                        \
	"  when c.not_after <= now() then 'expired' else 'valid' end)"
#define CURSOR_SQL "(extract(epoch from c.not_after) * 1000000)::bigint || '.' || c.serial"
#define FROM_SQL                                                                                                       \
	" from certificate c join device d on d.device = c.device left join device_state s on s.device = c.device"     \
	" where ($2::bigint is null or (c.not_after, c.serial) >"                                                      \
	"  (timestamptz 'epoch' + $2::bigint * interval '1 microsecond', $3::text))"                                   \
	" and ($4::text is null or starts_with(c.device, $4) or ltrim(c.serial, '0') = ltrim(lower($4), '0'))"

// $1 limit, $2 and $3 end and serial of the last one seen, $4 how the device begins, or the serial; $5 days. Whose end
// is nearest comes first.
static const struct {
	const char *name, *sql;
} states[] = {
	{"expiring", "select " ITEM_SQL ", " CURSOR_SQL FROM_SQL " and c.revoked_at is null and c.not_after > now()"
		     " and c.not_after <= now() + $5::integer * interval '1 day'"
		     " order by c.not_after, c.serial limit $1::integer + 1"},
	{"valid", "select " ITEM_SQL ", " CURSOR_SQL FROM_SQL
		  " and c.revoked_at is null and c.not_after > now() and $5::integer is not null"
		  " order by c.not_after, c.serial limit $1::integer + 1"},
	{"expired", "select " ITEM_SQL ", " CURSOR_SQL FROM_SQL
		    " and c.revoked_at is null and c.not_after <= now() and $5::integer is not null"
		    " order by c.not_after, c.serial limit $1::integer + 1"},
	{"revoked",
	 "select " ITEM_SQL ", " CURSOR_SQL FROM_SQL " and c.revoked_at is not null and $5::integer is not null"
	 " order by c.not_after, c.serial limit $1::integer + 1"},
};
static const char SUMMARY_SQL[] =
	"select jsonb_build_object("
	" 'valid', count(*) filter (where c.not_after > now()),"
	" 'expiring', count(*) filter (where c.not_after > now()"
	"  and c.not_after <= now() + $1::integer * interval '1 day'),"
	" 'expired', count(*) filter (where c.not_after <= now()), 'days', $1::integer,"
	" 'authorities', (select coalesce(jsonb_agg(jsonb_build_object('sha256', a.sha256, 'kind', a.kind,"
	"   'state', a.state, 'not_after', a.not_after, 'changed_at', a.changed_at, 'certificates',"
	"   case when a.kind = 'device' then (select count(*) from certificate i where i.authority = a.sha256"
	"    and i.revoked_at is null and i.not_after > now()) end)"
	"   order by a.kind, array_position(array['current', 'next', 'old'], a.state), a.created_at desc), '[]')"
	"  from authority a where a.state <> 'withdrawn'))"
	" from certificate c where c.revoked_at is null";

static const char *sql_of(const char *state)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(states[i].name, state) == 0)
			return states[i].sql;
	}
	return NULL;
}

void certificates_list(struct http_request *request, void *user)
{
	const char *after = api_text(request, "after"), *state = api_text(request, "state");
	const char *sql = sql_of(state ? state : "expiring");
	char cursor[API_CURSOR_MAX], limit_text[24], days_text[24], *parts[2] = {NULL};
	int64_t limit = 0, days = EXPIRING_DAYS, ignored = 0;

	if (!api_limit(request, &limit) || !api_int(request, "days", 1, DAYS_MAX, &days))
		return;
	if (!sql) {
		http_reply_problem(request, 400, "\"state\" is one of expiring, valid, expired, revoked.");
		return;
	}
	(void)snprintf(cursor, sizeof(cursor), "%s", after ? after : "");
	if (after && (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &ignored))) {
		(void)api_bad_cursor(request);
		return;
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);
	(void)snprintf(days_text, sizeof(days_text), "%lld", (long long)days);

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {limit_text, parts[0], parts[1], api_text(request, "q"), days_text};

	if (api_query_again(user, request, &rows, sql, 5, params))
		api_reply_page(request, rows, limit);
}

void certificates_summary(struct http_request *request, void *user)
{
	char days_text[24];
	int64_t days = EXPIRING_DAYS;

	if (!api_int(request, "days", 1, DAYS_MAX, &days))
		return;
	(void)snprintf(days_text, sizeof(days_text), "%lld", (long long)days);

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {days_text};

	if (api_query_again(user, request, &rows, SUMMARY_SQL, 1, params))
		api_reply_row(request, rows, "There is no summary.");
}
