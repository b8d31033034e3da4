#include "ingest/presence.h"

#include "ingest/state.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#define AGAIN_MS 250  // between two looks while devices keep going
#define RETRY_MS 1000 // after a failure

// After a reconnect of this program ($3) the broker itself was away, as far as anybody can tell.
#define EXTEND_SQL                                                                                       \
	"update device_state set held_due_ms = $2::bigint, held_grace = true, held_why = case when "     \
	"$3::boolean and held_why in ('will', 'status') then 'broker-restart' else held_why end "        \
	"where held_by = $1"

#define APPLY_SQL                                                                                             \
	"with told as (update device_state d set presence = 'offline', "                                      \
	"presence_why = case when v.enabled then d.held_why else 'kick' end, "                                \
	"presence_since = case when d.presence = 'offline' then d.presence_since else d.held_at end, "        \
	"session = greatest(d.session, d.held_session), presence_before = d.presence_count, "                 \
	"presence_count = d.presence_count + (d.presence <> 'offline')::integer, " STATE_UNHELD_SQL           \
	", changed_at = now() from device v where v.device = d.device and d.held_by = $1 "                    \
	"and d.held_due_ms <= $2::bigint returning " STATE_TOLD_SQL ("d") "), " STATE_EVENTS_SQL              \
	" select count(*) from told"

#define CLAMP_SQL "update device_state set last_seen = now(), changed_at = now() where last_seen > now()"

void presence_init(struct presence *presence, const char *client_id, long cell, int64_t grace_length_ms)
{
	*presence = (struct presence){.grace_length_ms = grace_length_ms};
	(void)snprintf(presence->cell, sizeof(presence->cell), "%ld", cell);
	(void)snprintf(presence->holder, sizeof(presence->holder), "%s@%ld", client_id, cell);
}

void presence_connected(struct presence *presence, int64_t mono_ms)
{
	presence->connected = true;
	presence->extend = true;
	presence->reconnected = presence->connections > 0;
	presence->connections++;
	presence->grace_ms = mono_ms + presence->grace_length_ms;
	presence->due_ms = 0;
	presence->grace_due_ms = presence->grace_ms;
	// Another program of this name has another time of its first connect.
	(void)snprintf(presence->connection, sizeof(presence->connection), "%s.%" PRId64 ".%u", presence->cell, mono_ms,
		       presence->connections);
}

void presence_disconnected(struct presence *presence)
{
	presence->connected = false;
}

void presence_params(const struct presence *presence, int64_t mono_ms, struct presence_params *out)
{
	bool grace = mono_ms + PRESENCE_HOLD_MS < presence->grace_ms;
	int64_t due_ms = mono_ms + PRESENCE_HOLD_MS;
	(void)snprintf(out->due, sizeof(out->due), "%" PRId64, due_ms);
	(void)snprintf(out->grace_due, sizeof(out->grace_due), "%" PRId64, grace ? presence->grace_ms : due_ms);
	out->values[0] = presence->holder;
	out->values[1] = presence->connection;
	out->values[2] = out->due;
	out->values[3] = out->grace_due;
	out->values[4] = grace ? "true" : "false";
	out->values[5] = grace && presence->reconnected ? "true" : "false";
	out->values[6] = presence->cell;
}

void presence_held(struct presence *presence, int64_t mono_ms)
{
	// The statement ran before now, so its rows are due no later.
	presence->last_due_ms = mono_ms + PRESENCE_HOLD_MS;
	if (presence->due_ms == 0)
		presence->due_ms = presence->last_due_ms;
	if (mono_ms < presence->grace_ms)
		presence->grace_due_ms = presence->grace_ms;
}

static int64_t next_ms(const struct presence *presence)
{
	int64_t next = presence->due_ms;
	if (presence->grace_due_ms != 0 && (next == 0 || presence->grace_due_ms < next))
		next = presence->grace_due_ms;
	if (presence->extend)
		next = 1;
	return next != 0 && next < presence->retry_ms ? presence->retry_ms : next;
}

int presence_timeout_ms(const struct presence *presence, int64_t mono_ms)
{
	int64_t next = next_ms(presence);
	if (!presence->connected || next == 0)
		return -1;
	if (next <= mono_ms)
		return 0;
	return next - mono_ms > INT_MAX ? INT_MAX : (int)(next - mono_ms);
}

bool presence_prepare(struct pg *pg, struct error *error)
{
	return pg_prepare(pg, "presence_extend", EXTEND_SQL, error) &&
	       pg_prepare(pg, "presence_apply", APPLY_SQL, error) && pg_prepare(pg, "presence_clamp", CLAMP_SQL, error);
}

bool presence_extend(struct presence *presence, struct pg *pg, struct error *error)
{
	char due[24];
	if (!presence->extend)
		return true;
	(void)snprintf(due, sizeof(due), "%" PRId64, presence->grace_ms);
	const char *const params[] = {presence->holder, due, presence->reconnected ? "true" : "false"};
	if (!pg_run(pg, NULL, error, "presence_extend", 3, params))
		return false;
	presence->extend = false;
	return true;
}

static bool apply(struct pg *pg, const struct presence *presence, int64_t mono_ms, struct error *error)
{
	char now[24];
	const char *const params[] = {presence->holder, now};
	auto_pg_result struct pg_result *told = NULL;
	(void)snprintf(now, sizeof(now), "%" PRId64, mono_ms);
	return pg_run(pg, &told, error, "presence_apply", 2, params) &&
	       (pg_int(told, 0, 0) == 0 || pg_exec(pg, "notify muster_state", error));
}

bool presence_sweep(struct presence *presence, struct pg *pg, int64_t mono_ms, struct error *error)
{
	int64_t next = next_ms(presence);
	if (!presence->connected || next == 0 || next > mono_ms)
		return true;
	if (!pg_ready(pg, error) || !presence_extend(presence, pg, error) ||
	    !apply(pg, presence, mono_ms, error)) {
		presence->retry_ms = mono_ms + RETRY_MS;
		return false;
	}
	if (presence->grace_due_ms <= mono_ms)
		presence->grace_due_ms = 0;
	if (presence->due_ms != 0 && presence->due_ms <= mono_ms)
		presence->due_ms = presence->last_due_ms > mono_ms ? mono_ms + AGAIN_MS : 0;
	return true;
}

bool presence_clamp(struct pg *pg, struct error *error)
{
	return pg_run(pg, NULL, error, "presence_clamp", 0, NULL);
}
