#include "dashboard/system.h"

#include "common/clock.h"
#include "common/part_state.h"
#include "dashboard/pieces.h"

#include <stdio.h>
#include <stdlib.h>

#define TELL_EVERY_MS 1000 // looks whether it is time
#define COUNTED_MAX "100001"

static const char parts_sql[] =
	"select coalesce(json_agg(json_build_object('part', part, 'instance', instance, 'version', version,"
	" 'started_at', started_at, 'seen_at', seen_at, 'state', case when silent then 'silent' else state end,"
	" 'since', case when silent then seen_at else since end, 'why', why, 'detail', detail)"
	" order by array_position(array['ingest', 'commander', 'bridge', 'dashboard', 'canary'], part), instance), "
	"'[]')"
	" from (select *, seen_at < now() - interval '30 seconds' as silent from part_state) p";

static const char queues_sql[] =
	"with open as (select created_at from command where state in"
	"  ('requested', 'queued', 'sent', 'accepted', 'running') limit " COUNTED_MAX "),"
	" requested as (select created_at from command where state = 'requested' limit " COUNTED_MAX "),"
	" unapplied as (select received_at from command_result where applied_at is null limit " COUNTED_MAX "),"
	" unchecked as (select received_at from command_result where verdict = 'unchecked' limit " COUNTED_MAX "),"
	" refused as (select received_at from quarantine where received_at > now() - interval '1 day'"
	"  limit " COUNTED_MAX ")"
	" select json_build_array("
	"  (select json_build_object('queue', 'commands_requested', 'count', count(*), 'oldest_at', min(created_at))"
	"   from requested),"
	"  (select json_build_object('queue', 'commands_open', 'count', count(*), 'oldest_at', min(created_at)) from "
	"open),"
	"  (select json_build_object('queue', 'results_unapplied', 'count', count(*), 'oldest_at', min(received_at))"
	"   from unapplied),"
	"  (select json_build_object('queue', 'results_unchecked', 'count', count(*), 'oldest_at', min(received_at))"
	"   from unchecked),"
	"  (select json_build_object('queue', 'quarantine_last_day', 'count', count(*), 'oldest_at', min(received_at))"
	"   from refused))";

static const char database_sql[] = "select system_facts()";

static const char proofs_sql[] =
	"select coalesce(json_agg(json_build_object('cell', cell, 'cause', cause, 'requested_at', requested_at,"
	" 'cut_s', cut_s, 'refused', refused, 'admitted', admitted, 'ok', ok) order by requested_at desc), '[]')"
	" from (select * from revocation_proof order by requested_at desc limit 10) p";

static const char authorities_sql[] =
	"select coalesce(json_agg(json_build_object('sha256', sha256, 'kind', kind, 'state', state,"
	" 'not_after', not_after, 'created_at', created_at) order by kind, created_at desc), '[]') from authority"
	" where state <> 'withdrawn'";

static const struct piece table[] = {
	{"parts", parts_sql, 1000},
	{"queues", queues_sql, 2000},
	{"database", database_sql, 10000},
	{"proofs", proofs_sql, 5000},
	{"authorities", authorities_sql, 30000},
};

struct system {
	struct dashboard *dashboard;
	struct pieces *pieces;
	struct part_state part;
	struct loop_timer *timer;
	struct log_fault fault;
};

static void on_timer(void *user)
{
	struct system *system = user;
	struct pg *pg = system->dashboard->pg;
	struct error error = {0};

	if (!pg_connected(pg) || !part_state_due(&system->part, true, clock_mono_ms()))
		return;
	if (part_state_tell(&system->part, pg, NULL, NULL, &error))
		log_fault_over(&system->fault, "state.untold");
	else
		log_fault(&system->fault, "state.untold", &error);
}

struct system *system_new(struct dashboard *dashboard, struct error *error)
{
	struct system *system = calloc(1, sizeof(*system));
	char name[128];

	if (!system) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	system->dashboard = dashboard;
	(void)snprintf(name, sizeof(name), "%s:%ld", dashboard->config.listen_address, dashboard->config.listen_port);
	part_state_init(&system->part, "dashboard", name, 0);
	system->pieces = pieces_new(table, sizeof(table) / sizeof(table[0]), error);
	system->timer = system->pieces ? loop_timer_new(dashboard->loop, on_timer, system, error) : NULL;
	if (!system->timer) {
		system_free(system);
		return NULL;
	}
	loop_timer_every(system->timer, TELL_EVERY_MS);
	return system;
}

void system_free(struct system *system)
{
	if (!system)
		return;
	loop_timer_free(system->timer);
	pieces_free(system->pieces);
	free(system);
}

void system_get(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;

	pieces_reply(dashboard->system->pieces, dashboard, request);
}
