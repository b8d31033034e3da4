#include "dashboard/devices.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/feed.h"
#include "dashboard/revocations.h"
#include "dashboard/targets.h"
#include "dashboard/wakes.h"

#include <stdio.h>
#include <string.h>

// The evidence behind the status, in one sentence, and the next step where there is one.
#define WHY \
	"case when not d.enabled then 'It is revoked' || coalesce(' (' || nullif(d.disabled_reason, '') || ')', '')" \
	" || ': the broker refuses it until it is restored or enrolled again.'" \
	" else case " DEVICE_STATUS_SQL \
	" when 'never' then 'It is registered but has never been in contact: start its agent, or check that it" \
	" reaches the broker.'" \
	" when 'offline' then case s.presence_why" \
	" when 'will' then 'The broker lost its connection without a goodbye: network, power or a crash.'" \
	" when 'goodbye' then 'It said goodbye: it was shut down, restarted or told to disconnect.'" \
	" when 'sleep' then case when s.last_seen + 2 * s.interval_s * interval '1 second' < now()" \
	" then 'It went to sleep, and its heartbeat is overdue: no power, no network, or a crash.'" \
	" else format('It sleeps until its next heartbeat (every %s s) or until it is woken.'," \
	" coalesce(s.interval_s, 60)) end" \
	" when 'kick' then 'Its session was cut because it is disabled or its certificate revoked.'" \
	" when 'broker-restart' then 'The broker or the way to it was interrupted, and it has not come back since.'" \
	" when 'status' then 'Its status topic says offline: it said goodbye, or the broker published its will'" \
	" || ' after the connection broke.' else 'Its session with the broker has ended.' end" \
	" when 'stale' then format('Its session is open, but nothing came for more than 3 of its intervals'" \
	" || ' (%s s each): asleep, overloaded or behind a broken link.', coalesce(s.interval_s, 60))" \
	" else case s.presence_why when 'hello' then 'It connected, said hello and reports as it should.'" \
	" when 'status' then 'Its status topic says online and its messages arrive.'" \
	" else 'Its messages arrive.' end end end"

// Silence is evidence of its own, and older than none.
#define EVIDENCE \
	"case when " DEVICE_STATUS_SQL " = 'stale' then 'silence' else nullif(s.presence_why, '') end"

#define LATEST \
	"json_strip_nulls(json_build_object('ts', s.ts, 'battery_pct', s.battery_pct, 'charging', s.charging," \
	" 'cpu_pct', s.cpu_pct, 'load1', s.load1, 'mem_total', s.mem_total, 'mem_available', s.mem_available," \
	" 'disk_total', s.disk_total, 'disk_free', s.disk_free, 'uptime_s', s.uptime_s," \
	" 'network_type', s.network_type, 'rssi_dbm', s.rssi_dbm, 'temperature_c', s.temperature_c," \
	" 'custom', s.custom))"

#define SUMMARY \
	"json_build_object('device', d.device, 'display_name', d.display_name, 'tags', d.tags," \
	" 'enabled', d.enabled, 'disabled', case when not d.enabled then json_build_object('at', d.disabled_at," \
	" 'by', d.disabled_by, 'reason', d.disabled_reason) end, 'status', " DEVICE_STATUS_SQL "," \
	" 'presence', coalesce(s.presence, 'never'), 'why', " WHY "," \
	" 'evidence', " EVIDENCE ", 'session', s.session, 'since', s.presence_since, 'first_seen', s.first_seen," \
	" 'last_seen', " DEVICE_SEEN_SQL "," \
	" 'stale_at', case when s.presence = 'online' then " DEVICE_SEEN_SQL " + " DEVICE_SILENCE_SQL " end," \
	" 'interval_s', s.interval_s, 'agent_version', s.agent_version, 'changed_at', s.changed_at," \
	" 'latest', " LATEST ")"

#define FROM " from device d left join device_state s on s.device = d.device"
// In its place comes what a query says, with the values from $6 on.
#define CONDITION "/*query*/true"
#define CONDITION_PARAM 6
// $1 status or "revoked", $2 text to find in id, name and tags; null for any.
#define FILTER \
	" where ($1::text is null or ($1 = 'revoked' and not d.enabled) or " DEVICE_STATUS_SQL " = $1)" \
	" and ($2::text is null or position(lower($2) in d.device) > 0" \
	" or position(lower($2) in lower(d.display_name)) > 0 or lower($2) = any (d.tags)) and " CONDITION

// A list is ordered by device, or by (key, device) with a bigint as key, falling orders having the negated key. The
// cursor is the last row's "<device>" or "<key>.<device>". A device without a value comes last either way.
#define LIST_BY_DEVICE(compare, order) \
	"select " SUMMARY ", d.device" FROM FILTER \
	" and ($3::text is null or d.device " compare " $3) and $4::text is null" \
	" order by d.device " order " limit $5::integer + 1"
#define KEY(expression) "coalesce((" expression ")::bigint, 9223372036854775807)"
// Sorts just keys and ids, and makes the summaries of those that are left.
#define LIST_BY_KEY(expression) \
	"select " SUMMARY ", k.key || '.' || d.device from (select d.device, " KEY(expression) " as key" FROM FILTER \
	" and ($4::bigint is null or (" KEY(expression) ", d.device) > ($4, $3::text))" \
	" order by 2, 1 limit $5::integer + 1) k join device d on d.device = k.device" \
	" left join device_state s on s.device = d.device order by k.key, k.device"
#define LAST_SEEN "extract(epoch from " DEVICE_SEEN_SQL ") * 1000000"
#define BATTERY "s.battery_pct * 1000"
#define CPU "s.cpu_pct * 1000"
#define MEMORY "(1 - s.mem_available::float8 / nullif(s.mem_total, 0)) * 100000"
#define DISK "(1 - s.disk_free::float8 / nullif(s.disk_total, 0)) * 100000"

static const struct order {
	const char *name; // "-" before it: falling
	const char *sql;
	bool keyed;
} orders[] = {
	{"device", LIST_BY_DEVICE(">", "asc"), false},
	{"-device", LIST_BY_DEVICE("<", "desc"), false},
	{"last_seen", LIST_BY_KEY(LAST_SEEN), true},
	{"-last_seen", LIST_BY_KEY("-" LAST_SEEN), true},
	{"battery", LIST_BY_KEY(BATTERY), true},
	{"-battery", LIST_BY_KEY("-" BATTERY), true},
	{"cpu", LIST_BY_KEY(CPU), true},
	{"-cpu", LIST_BY_KEY("-" CPU), true},
	{"memory", LIST_BY_KEY(MEMORY), true},
	{"-memory", LIST_BY_KEY("-" MEMORY), true},
	{"disk", LIST_BY_KEY(DISK), true},
	{"-disk", LIST_BY_KEY("-" DISK), true},
};

#define STATEMENT_MAX_BYTES 131072
#define GAPS_SHOWN "1000" // of an epoch: all there are

static const char GET_SQL[] =
	"select (" SUMMARY ")::jsonb || jsonb_build_object('fingerprint', d.fingerprint, 'enrolled_at', d.enrolled_at,"
	" 'created_at', d.created_at, 'command_policy', d.command_policy, 'time_zone', d.time_zone,"
	" 'maintenance_window', d.maintenance_window, 'cell', d.cell, 'reports_in', s.cell,"
	" 'revocation', " REVOCATIONS_OF_DEVICE_SQL ","
	" 'wake', " WAKES_OF_DEVICE_SQL ","
	" 'mismatches', d.mismatches, 'mismatch_at', d.mismatch_at, 'mismatch_fingerprint', d.mismatch_fingerprint,"
	" 'certificate', (select jsonb_build_object('serial', c.serial, 'sha256', c.sha256, 'not_before', c.not_before,"
	"  'not_after', c.not_after, 'revoked_at', c.revoked_at) from certificate c where c.device = d.device"
	"  order by c.revoked_at is null desc, c.not_after desc limit 1),"
	" 'ledger', coalesce((select jsonb_agg(jsonb_build_object('epoch', l.epoch, 'contiguous', l.contiguous,"
	"  'highest', l.highest, 'first_seq', l.first_seq, 'received', l.received, 'duplicates', l.duplicates,"
	"  'stored', l.received - l.duplicates, 'late', l.late, 'missing', coalesce(g.missing, 0),"
	"  'lost', l.dropped + coalesce(g.lost, 0), 'dropped', l.dropped, 'gaps', coalesce(g.list, '[]'),"
	"  'first_at', l.first_at, 'last_at', l.last_at) order by l.last_at desc)"
	"  from ledger l left join lateral (select sum(x.to_seq - x.from_seq + 1) filter (where x.state = 'lost') as "
	"lost,"
	"  sum(x.to_seq - x.from_seq + 1) filter (where x.state = 'open') as missing,"
	"  jsonb_agg(jsonb_build_object('from', x.from_seq, 'to', x.to_seq, 'state', x.state, 'opened_at', x.opened_at,"
	"  'closed_at', x.closed_at) order by x.state in ('open', 'lost') desc, x.id desc) as list from (select * from"
	"  ledger_gap p where p.device = l.device and p.epoch = l.epoch"
	"  order by p.state in ('open', 'lost') desc, p.id desc limit " GAPS_SHOWN ") x) g on true"
	"  where l.device = d.device), '[]'),"
	" 'inventory', coalesce((select jsonb_object_agg(i.kind, jsonb_build_object('ts', i.ts,"
	"  'received_at', i.received_at, 'body', i.body)) from inventory i where i.device = d.device), '{}'),"
	" 'commands', coalesce((select jsonb_agg(jsonb_build_object('id', c.id, 'action', c.action, 'state', c.state,"
	"  'requested_by', c.requested_by, 'created_at', c.created_at, 'finished_at', c.finished_at,"
	"  'changed_at', c.changed_at, 'reason', c.reason) order by c.created_at desc)"
	"  from (select * from command where device = d.device order by created_at desc limit 10) c), '[]'))" FROM
	" where d.device = $1";

// A device that is away does not change its state when it is revoked or restored: the latest of those count too.
const char devices_changed_sql[] =
	"select d.device, (extract(epoch from c.at) * 1000000)::bigint, " SUMMARY ", d.device, " FEED_SCOPE_SQL
	" from (select device, max(at) as at from (select device, changed_at as at from device_state"
	"  where changed_slot >= $1::bigint / 10000000 union all select name, requested_at from"
	"  (select * from revocation order by change desc limit $2::integer) r where kind = 'device') x"
	"  where at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond'"
	"  and ($3::text[] is null or device = any ($3::text[]))"
	"  group by device order by 2 desc limit $2::integer) c"
	" join device d on d.device = c.device left join device_state s on s.device = c.device order by c.at desc";

static const struct order *find_order(const char *name)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].name, name) == 0)
			return &orders[i];
	}
	return NULL;
}

static bool is_status(const char *text)
{
	return strcmp(text, "online") == 0 || strcmp(text, "stale") == 0 || strcmp(text, "offline") == 0 ||
	       strcmp(text, "never") == 0 || strcmp(text, "revoked") == 0;
}

// params: $1 to $5, with room for the query's.
static void list(struct dashboard *dashboard, struct http_request *request, const char *sql, const char **params,
		 int64_t limit)
{
	const char *text = api_text(request, "query"), *mark = strstr(sql, CONDITION);
	auto_pg_result struct pg_result *rows = NULL;
	auto_query struct query query = {0};
	auto_buf struct buf whole;

	buf_init(&whole, STATEMENT_MAX_BYTES);
	if (!targets_compile(dashboard, request, text ? text : "", CONDITION_PARAM, &query))
		return;
	(void)buf_add(&whole, sql, (size_t)(mark - sql));
	(void)buf_add_str(&whole, buf_str(&query.sql));
	(void)buf_add_str(&whole, mark + strlen(CONDITION));
	for (size_t i = 0; i < query.count; i++)
		params[CONDITION_PARAM - 1 + i] = query.params[i];
	if (whole.overflowed)
		http_reply_problem(request, 422, "The query is too long; save parts of it as filters or use a group.");
	else if (api_query(dashboard, request, &rows, buf_str(&whole), CONDITION_PARAM - 1 + query.count, params))
		api_reply_page(request, rows, limit);
}

void devices_list(struct http_request *request, void *user)
{
	const char *sort = api_text(request, "sort"), *status = api_text(request, "status");
	const char *after = api_text(request, "after"), *device = after, *key = NULL;
	const struct order *order = find_order(sort ? sort : "device");
	char cursor[API_CURSOR_MAX], limit_text[24], *parts[2];
	int64_t limit = 0, ignored = 0;

	if (!order || (status && !is_status(status))) {
		http_reply_problem(request, 400,
				   order ? "\"status\" is one of online, stale, offline, never, revoked."
					 : "\"sort\" is one of device, last_seen, battery, cpu, memory, "
					   "disk, with - before it for falling order.");
		return;
	}
	if (!api_limit(request, &limit))
		return;
	if (after && order->keyed) {
		(void)snprintf(cursor, sizeof(cursor), "%s", after);
		if (!api_split_cursor(cursor, parts, 2) || !api_parse_int(parts[0], &ignored)) {
			(void)api_bad_cursor(request);
			return;
		}
		key = parts[0];
		device = parts[1];
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);

	const char *params[CONDITION_PARAM - 1 + QUERY_PARAMS_MAX] = {status, api_text(request, "q"), device, key,
								      limit_text};

	list(user, request, order->sql, params, limit);
}

void devices_get(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {http_param(request, "id")};

	if (api_query(user, request, &rows, GET_SQL, 1, params))
		api_reply_row(request, rows, "There is no device with this id; GET /api/v1/devices lists them all.");
}

// ---- tags ----

static const char TAG_SQL[] = "select to_json(tag_device($1, array(select jsonb_array_elements_text($2::jsonb)),"
			      " array(select jsonb_array_elements_text($3::jsonb))))";

static bool tag(struct dashboard *dashboard, struct http_request *request, const char *added, const char *removed,
		struct pg_result **tags, struct error *error)
{
	const char *device = http_param(request, "id");
	auto_buf struct buf detail;

	buf_init(&detail, API_ANSWER_MAX_BYTES);
	(void)buf_addf(&detail, "{\"add\":%s,\"remove\":%s}", added, removed);
	return pg_ready(dashboard->pg, error) && pg_begin(dashboard->pg, error) &&
	       PG_QUERY(dashboard->pg, tags, error, TAG_SQL, device, added, removed) &&
	       api_audit(dashboard, request, auth_of(request)->user, "device.tag", device, buf_str(&detail), error) &&
	       pg_commit(dashboard->pg, error);
}

void devices_tag(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_pg_result struct pg_result *tags = NULL;
	auto_buf struct buf added, removed, answer;
	struct error error = {0};

	buf_init(&answer, API_ANSWER_MAX_BYTES);
	buf_init(&added, 0);
	buf_init(&removed, 0);
	if (!body)
		return;
	if (!api_tag_list(body, "add", &added, &error) || !api_tag_list(body, "remove", &removed, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	if (!tag(dashboard, request, buf_str(&added), buf_str(&removed), &tags, &error)) {
		pg_rollback(dashboard->pg);
		api_reply_error(dashboard, request, &error);
	} else if (!pg_text(tags, 0, 0)) {
		http_reply_problem(request, 404,
				   "There is no device with this id; GET /api/v1/devices lists them all.");
	} else {
		(void)buf_addf(&answer, "{\"device\":\"%s\",\"tags\":%s}", http_param(request, "id"),
			       pg_text(tags, 0, 0));
		api_reply_text(request, 200, buf_str(&answer));
	}
}
