// Batches into PostgreSQL: one transaction each, set-based, so that its cost hangs on the database and not on round
// trips.
#pragma once

#include "ingest/batch.h"
#include "ingest/excess.h"
#include "ingest/presence.h"
#include "ingest/sight.h"
#include "ingest/summary.h"

#include "common/metrics.h"
#include "common/part_state.h"
#include "common/pg.h"

#include <stdbool.h>

struct store;

struct store_options {
	const char *conninfo;
	bool auto_register;
	long mismatch_max;
	struct presence *presence; // the caller's, as is excess
	struct excess *excess;
	struct metrics *metrics;
	void (*waiting)(void *user); // called each second that the database keeps a call waiting; NULL: nothing
	void *user;
};

struct store *store_new(const struct store_options *options, struct error *error) must_check;
void store_free(struct store *store);
DEFINE_CLEANUP(struct store, store_free)

// After each COMMIT: what is stored (or in quarantine) now, and up to where (epoch_summary.contiguous).
typedef void store_committed_fn(void *user, const struct summary *summary, const struct message *messages,
				size_t count);

// Commits what is left of the batch. A message that the database refuses for its content is found by halving the range,
// and goes to quarantine with the server's reason. False: nothing may be acknowledged; call again later with the same
// batch (what was committed of it meanwhile is not repeated, and a COMMIT whose outcome is unknown is harmless, because
// every row has a key; only the counts of received and duplicates may then be too high).
bool store_batch(struct store *store, struct batch *batch, store_committed_fn *committed, void *user,
		 struct error *error) must_check;

// What time alone brings about: devices that are gone for good, gaps that count as lost (*lost: how many became so).
bool store_sweep_presence(struct store *store, int64_t mono_ms, struct error *error) must_check;
bool store_tell_sight(struct store *store, struct sight *sight, int64_t now_ms, struct error *error) must_check;
bool store_sweep_gaps(struct store *store, int64_t lost_after_s, size_t *lost, struct error *error) must_check;
bool store_tell_excess(struct store *store, int64_t mono_ms, struct error *error) must_check;
// What ingest says of itself; why: as part_state_tell.
bool store_tell_part(struct store *store, struct part_state *part, const char *why, struct error *error) must_check;
// The server's clock was set back, or may have been.
bool store_clock_jumped(struct store *store, struct error *error) must_check;

// Connects if there is no connection, so that the first batch finds one; honours the backoff of pg_ready.
bool store_connect(struct store *store, struct error *error) must_check;
bool store_connected(const struct store *store);
