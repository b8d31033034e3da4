#include "ingest/sight.h"

#include <inttypes.h>
#include <stdio.h>

// $3 how long the connection is old, in ms.
static const char tell_sql[] =
	"insert into ingest_sight (client, cell, connected_since, seen_at)"
	" values ($1, $2, now() - make_interval(secs => $3::float8 / 1000), now()) on conflict (client, cell) do update"
	" set connected_since = excluded.connected_since, seen_at = excluded.seen_at";

void sight_init(struct sight *sight, const char *client_id, long cell)
{
	*sight = (struct sight){0};
	(void)snprintf(sight->client, sizeof(sight->client), "%s", client_id);
	(void)snprintf(sight->cell, sizeof(sight->cell), "%ld", cell);
}

void sight_connected(struct sight *sight, int64_t mono_ms)
{
	sight->connected = true;
	sight->connected_ms = mono_ms;
	sight->due_ms = mono_ms;
}

void sight_lost(struct sight *sight)
{
	sight->connected = false;
}

int sight_timeout_ms(const struct sight *sight, int64_t mono_ms)
{
	if (!sight->connected)
		return -1;
	return sight->due_ms > mono_ms ? (int)(sight->due_ms - mono_ms) : 0;
}

bool sight_tell(struct sight *sight, struct pg *pg, int64_t mono_ms, struct error *error)
{
	char age[24];

	if (!sight->connected || mono_ms < sight->due_ms)
		return true;
	sight->due_ms = mono_ms + SIGHT_EVERY_MS; // also when it fails
	(void)snprintf(age, sizeof(age), "%" PRId64, mono_ms - sight->connected_ms);
	return pg_ready(pg, error) && PG_QUERY(pg, NULL, error, tell_sql, sight->client, sight->cell, age);
}
