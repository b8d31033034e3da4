// What each daemon says of itself, every ten seconds over a connection that it has anyway, into the table part_state:
// who it is, since when it runs, whether all is well and if not, why. Whoever has not spoken for thirty seconds counts
// as silent, so that a daemon that hangs, or that cannot reach the database, shows as well.
#pragma once

#include "common/error.h"
#include "common/json.h"
#include "common/pg.h"

#include <stdbool.h>
#include <stdint.h>

enum { PART_STATE_WHY_MAX = 400 };

struct part_state {
	const char *part;   // "ingest", as in the role muster_ingest
	char instance[200]; // stays the same over restarts: "svc.ingest@1"
	int64_t started_ms; // wall clock
	int64_t next_ms;    // monotonic: when it speaks again
	bool well;	    // what it said last
};

// cell: 0 where it is for all.
void part_state_init(struct part_state *state, const char *part, const char *name, long cell);
// Whether it is time to speak, which it also is as soon as well changes.
bool part_state_due(const struct part_state *state, bool well, int64_t mono_ms);
// Speaks. why: what is not well and what to do about it; NULL: all is. detail: more facts, owned from here on; NULL:
// none. Also when it fails, it is not due again before its time.
bool part_state_tell(struct part_state *state, struct pg *pg, const char *why, struct json *detail,
		     struct error *error) must_check;
