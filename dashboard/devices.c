#include "dashboard/devices.h"

#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/device_summary.h"
#include "dashboard/feed.h"
#include "dashboard/revocations.h"
#include "dashboard/wakes.h"

#define FROM " from device d left join device_state s on s.device = d.device"
#define GAPS_SHOWN "1000" // of an epoch: all there are

static const char GET_SQL[] =
	"select (" DEVICE_SUMMARY_SQL ")::jsonb || jsonb_build_object("
	" 'fingerprint', d.fingerprint, 'enrolled_at', d.enrolled_at,"
	" 'created_at', d.created_at, 'command_policy', d.command_policy, 'time_zone', d.time_zone,"
	" 'maintenance_window', d.maintenance_window, 'cell', d.cell, 'reports_in', s.cell,"
	" 'revocation', " REVOCATIONS_OF_DEVICE_SQL ","
	" 'wake', " WAKES_OF_DEVICE_SQL ","
	" 'mismatches', d.mismatches, 'mismatch_at', d.mismatch_at, 'mismatch_fingerprint', d.mismatch_fingerprint,"
	" 'mismatch_peer', d.mismatch_peer,"
	" 'mismatch_history', coalesce((select jsonb_agg(jsonb_build_object('count', m.count, 'at', m.at,"
	"  'bound', m.bound, 'said', m.said, 'peer', m.peer) order by m.at desc) from device_mismatch m"
	"  where m.device = d.device), '[]'), 'notes', d.notes,"
	" 'groups', coalesce((select jsonb_agg(m.group_name order by m.group_name) from device_group_member m"
	"  where m.device = d.device), '[]'),"
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
	"select d.device, (extract(epoch from c.at) * 1000000)::bigint, " DEVICE_SUMMARY_SQL
	", d.device, " FEED_SCOPE_SQL
	" from (select device, max(at) as at from (select device, changed_at as at from device_state"
	"  where changed_slot >= $1::bigint / 10000000 union all select name, requested_at from"
	"  (select * from revocation order by change desc limit $2::integer) r where kind = 'device') x"
	"  where at > timestamptz 'epoch' + $1::bigint * interval '1 microsecond'"
	"  and ($3::text[] is null or device = any ($3::text[]))"
	"  group by device order by 2 desc limit $2::integer) c"
	" join device d on d.device = c.device left join device_state s on s.device = c.device order by c.at desc";

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
