#include "dashboard/bulk_job.h"

#include "common/clock.h"
#include "common/log.h"
#include "dashboard/api.h"
#include "dashboard/device_list.h"
#include "dashboard/selection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_PAUSE_MS 20   // in which others are answered
#define LOOK_EVERY_MS 5000 // for jobs that another dashboard has left
#define RETRY_MS 2000

// In all of them $1 is params (jsonb), $2 who and $3 the request id.
static const char TAG_SQL[] =
	" select count(*), max(device), coalesce(tag_devices(array_agg(device), array(select jsonb_array_elements_text"
	"($1 -> 'add')), array(select jsonb_array_elements_text($1 -> 'remove'))), 0), null from next";
static const char JOIN_SQL[] = ", put as (insert into device_group_member (group_name, device, added_by) select $1 ->> "
			       "'group', device, $2 from"
			       " next on conflict do nothing returning 1)"
			       " select count(*), max(device), (select count(*) from put), null from next";
static const char LEAVE_SQL[] =
	", gone as (delete from device_group_member m using next where m.group_name = $1 ->> 'group' and m.device ="
	" next.device returning 1)"
	" select count(*), max(device), (select count(*) from gone), null from next";
static const char REVOKE_SQL[] = ", made as (select revoke_devices((select array_agg(device) from next), true, "
				 "coalesce($1 ->> 'reason', ''), $2,"
				 " $3) as devices) select count(*), max(device), (select cardinality(devices) from "
				 "made), (select devices from made)"
				 " from next";
static const char RESTORE_SQL[] = ", made as (select revoke_devices((select array_agg(device) from next), false, "
				  "coalesce($1 ->> 'reason', ''), $2,"
				  " $3) as devices) select count(*), max(device), (select cardinality(devices) from "
				  "made), (select devices from made)"
				  " from next";

static const struct bulk_verb verbs[] = {
	{"tag", NULL, "add remove", ACCESS_ACT, 400, 0.2, false, TAG_SQL},
	{"add-to-group", NULL, "group", ACCESS_ACT, 500, 0.1, true, JOIN_SQL},
	{"remove-from-group", NULL, "group", ACCESS_ACT, 500, 0.1, true, LEAVE_SQL},
	{"revoke", "device.revoke", "reason", ACCESS_ACT, 50, 1.5, false, REVOKE_SQL},
	{"restore", "device.restore", "reason", ROLE_ADMINISTRATOR, 50, 1.5, false, RESTORE_SQL},
};

// Jobs are found whoever's they are; each step then sees what the job's maker sees.
static const char EVERYBODY_SQL[] =
	"select set_config('muster.tenant', '*', true), set_config('muster.groups', '', true),"
	" set_config('muster.user', '', true)";
static const char MAKER_SQL[] = "select set_config('muster.tenant', $1, true), set_config('muster.groups', $2, true),"
				" set_config('muster.user', $3, true)";
// The strongest role of whoever is bound to groups, otherwise the account's; "" for who may not log in any more.
static const char NEXT_JOB_SQL[] =
	"select j.id, j.verb, j.params, j.query, coalesce(j.devices::text, ''), j.cursor, j.created_by, j.sees_tenant,"
	" j.sees_groups, j.request_id, j.peer, coalesce((select coalesce((select r.role from user_right r where"
	" r.user_name = u.name and u.tenant is not null order by array_position(array['administrator', 'operator',"
	" 'viewer'], r.role) limit 1), u.role) from user_account u where u.name = j.created_by and u.enabled), '')"
	" from device_bulk j where j.state = 'running' order by j.id limit 1 for update skip locked";
enum { ID, VERB, PARAMS, QUERY, DEVICES, CURSOR, MAKER, TENANT, GROUPS, REQUEST_ID, PEER, ROLE };
static const char ADVANCE_SQL[] = "update device_bulk set cursor = coalesce($2, cursor), done = done + $3::bigint, "
				  "changed = changed + $4::bigint,"
				  " state = case when $5::boolean then 'finished' else state end, changed_at = now(),"
				  " finished_at = case when $5::boolean then now() end where id = $1";
static const char FAIL_SQL[] = "update device_bulk set state = 'failed', reason = left($2, 400), finished_at = now(),"
			       " changed_at = now() where id = $1";
static const char AUDIT_SQL[] =
	"insert into audit (actor, action, target, peer, request_id, detail) select $1, $2, device, $3, $4,"
	" $5::jsonb || jsonb_build_object('bulk', $6::bigint) from unnest($7::text[]) device";

struct bulk {
	struct dashboard *dashboard;
	struct loop_timer *timer;
	struct log_fault fault;
};

// ---- verbs ----

const struct bulk_verb *bulk_verb_find(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	}
	return NULL;
}

static bool check_members(const struct bulk_verb *verb, const struct json *params, struct error *error)
{
	for (struct json_iterator it = json_begin(params); json_next(&it);) {
		const char *at = strstr(verb->members, it.name);
		size_t length = strlen(it.name);

		if (!at || length == 0 || strchr(it.name, ' ') || (at > verb->members && at[-1] != ' ') ||
		    (at[length] && at[length] != ' '))
			return error_set(error, ERROR_INVALID,
					 "The \"params\" of %s have no member \"%.64s\", only %s.", verb->name, it.name,
					 verb->members);
	}
	return true;
}

static bool check_tags(const struct json *params, struct error *error)
{
	auto_buf struct buf added, removed;
	bool ok = api_tag_list(params, "add", &added, error);

	ok = api_tag_list(params, "remove", &removed, ok ? error : NULL) && ok;
	if (ok && strcmp(buf_str(&added), "[]") == 0 && strcmp(buf_str(&removed), "[]") == 0)
		return error_set(error, ERROR_INVALID, "\"add\" or \"remove\" must name a tag.");
	return ok;
}

bool bulk_verb_params(const struct bulk_verb *verb, const struct json *params, struct json **out, struct error *error)
{
	auto_json struct json *empty = json_new_object();
	const char *text = "";

	if (!params)
		params = empty;
	if (json_type(params) != JSON_OBJECT)
		return error_set(error, ERROR_INVALID, "\"params\" must be an object.");
	if (!check_members(verb, params, error) || (strstr(verb->members, "add") && !check_tags(params, error)))
		return false;
	if (verb->group && (!json_member_string(params, "group", &text) || !query_is_name(text)))
		return error_set(error, ERROR_INVALID, "\"group\" of \"params\" must be the name of a group.");
	if (verb->audit && json_member(params, "reason") &&
	    (!json_member_string(params, "reason", &text) || strlen(text) > BULK_REASON_MAX))
		return error_set(error, ERROR_INVALID, "\"reason\" of \"params\" must be a text of up to %d bytes.",
				 BULK_REASON_MAX);
	*out = json_copy(params);
	return true;
}

bool bulk_is_expected(int64_t devices, int64_t expected)
{
	int64_t apart = devices > expected ? devices - expected : expected - devices;

	return apart * 50 <= expected;
}

// ---- a step ----

// What a step has changed, behind the next devices of the job.
static bool apply(struct pg *pg, const struct bulk_verb *verb, const struct pg_result *job, struct pg_result **out,
		  struct error *error)
{
	auto_selection struct selection selection;
	char limit[SELECTION_NUMBER_BYTES];

	selection_init(&selection);
	selection.params[selection.count++] = pg_text(job, 0, PARAMS);
	selection.params[selection.count++] = pg_text(job, 0, MAKER);
	selection.params[selection.count++] = pg_text(job, 0, REQUEST_ID);
	selection_add(&selection, "with next as materialized (select r.device from device_roster r");
	if (!selection_where(&selection, pg, pg_text(job, 0, QUERY), pg_text(job, 0, DEVICES), error))
		return false;
	selection_add(&selection, " and r.device > ");
	selection_param(&selection, pg_text(job, 0, CURSOR), "text");
	selection_add(&selection, " and $1::jsonb is not null and $2::text is not null and $3::text is not null");
	selection_add(&selection, " order by r.device limit ");
	selection_number(&selection, verb->step, limit);
	selection_add(&selection, ")");
	selection_add(&selection, verb->sql);
	if (selection.sql.overflowed)
		return error_set(error, ERROR_LIMIT, "the query is too long");
	return pg_query(pg, out, error, buf_str(&selection.sql), selection.count, selection.params);
}

static bool advance(struct pg *pg, const struct bulk_verb *verb, const struct pg_result *job,
		    const struct pg_result *step, struct error *error)
{
	const char *ids = pg_text(step, 0, 3);

	if (verb->audit && ids && strcmp(ids, "{}") != 0 &&
	    !PG_QUERY(pg, NULL, error, AUDIT_SQL, pg_text(job, 0, MAKER), verb->audit, pg_text(job, 0, PEER),
		      pg_text(job, 0, REQUEST_ID), pg_text(job, 0, PARAMS), pg_text(job, 0, ID), ids))
		return false;
	// The audit's row is of the maker's tenant, the job anybody's.
	return pg_query(pg, NULL, error, EVERYBODY_SQL, 0, NULL) &&
	       PG_QUERY(pg, NULL, error, ADVANCE_SQL, pg_text(job, 0, ID), pg_text(step, 0, 1), pg_text(step, 0, 0),
			pg_text(step, 0, 2) ? pg_text(step, 0, 2) : "0",
			pg_int(step, 0, 0) < verb->step ? "true" : "false");
}

// Whether its maker may still do this.
static bool is_allowed(const struct bulk_verb *verb, const struct pg_result *job)
{
	enum role role;

	return auth_role_parse(pg_text(job, 0, ROLE), &role) && (verb->roles & (int)role);
}

// Ends a job that cannot go on, in a transaction of its own.
static bool fail(struct pg *pg, const char *id, const char *reason, struct error *error)
{
	return pg_begin(pg, error) && pg_query(pg, NULL, error, EVERYBODY_SQL, 0, NULL) &&
	       PG_QUERY(pg, NULL, error, FAIL_SQL, id, reason) && pg_commit(pg, error);
}

// Within the transaction that has the job's row.
static bool run_step(struct pg *pg, const struct pg_result *job, struct error *error)
{
	const struct bulk_verb *verb = bulk_verb_find(pg_text(job, 0, VERB));
	auto_pg_result struct pg_result *step = NULL;

	if (!verb || !is_allowed(verb, job))
		return error_set(error, ERROR_DENIED, "%s may not do this any more", pg_text(job, 0, MAKER));
	return PG_QUERY(pg, NULL, error, MAKER_SQL, pg_text(job, 0, TENANT), pg_text(job, 0, GROUPS),
			pg_text(job, 0, MAKER)) &&
	       apply(pg, verb, job, &step, error) && advance(pg, verb, job, step, error) && pg_commit(pg, error);
}

// One step of the oldest job; *any says whether there was one.
static bool work(struct pg *pg, bool *any, struct error *error)
{
	auto_pg_result struct pg_result *job = NULL;
	struct error why = {0};

	*any = false;
	if (!pg_ready(pg, error) || !pg_begin(pg, error) || !pg_query(pg, NULL, error, EVERYBODY_SQL, 0, NULL) ||
	    !pg_query(pg, &job, error, NEXT_JOB_SQL, 0, NULL)) {
		pg_rollback(pg);
		return false;
	}
	if (pg_rows(job) == 0) {
		pg_rollback(pg);
		return true;
	}
	*any = true;
	if (run_step(pg, job, &why))
		return true;
	pg_rollback(pg);
	if (why.kind == ERROR_UNREACHABLE || pg_sqlstate_is(&why, "40P01") || pg_sqlstate_is(&why, "57014")) {
		*error = why;
		return false; // tried again
	}
	return fail(pg, pg_text(job, 0, ID), why.what, error);
}

void bulk_work(struct bulk *bulk, int64_t ms)
{
	int64_t until_ms = clock_mono_ms() + ms;
	struct error error = {0};
	bool any = true, ok = true;

	while (ok && any) {
		ok = work(bulk->dashboard->pg, &any, &error);
		if (any)
			counts_forget(bulk->dashboard->counts);
		if (clock_mono_ms() >= until_ms)
			break;
	}
	if (ok)
		log_fault_over(&bulk->fault, "bulk");
	else
		log_fault(&bulk->fault, "bulk", &error);
	loop_timer_once(bulk->timer, !ok ? RETRY_MS : any ? STEP_PAUSE_MS : LOOK_EVERY_MS);
}

static void on_timer(void *user)
{
	bulk_work(user, 0);
}

struct bulk *bulk_new(struct dashboard *dashboard, struct error *error)
{
	struct bulk *bulk cleanup(bulk_free_cleanup) = calloc(1, sizeof(*bulk));

	if (!bulk) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	bulk->dashboard = dashboard;
	bulk->timer = loop_timer_new(dashboard->loop, on_timer, bulk, error);
	if (!bulk->timer)
		return NULL;
	loop_timer_once(bulk->timer, STEP_PAUSE_MS);
	return steal(bulk);
}

void bulk_free(struct bulk *bulk)
{
	if (!bulk)
		return;
	loop_timer_free(bulk->timer);
	free(bulk);
}
