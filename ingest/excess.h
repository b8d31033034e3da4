// Devices that send more than the broker would let through (docs/decisions/0009): what is above their limits is stored
// like anything else, counted, and told as an event limit.exceeded of the device, once a minute at most.
#pragma once

#include "common/limiter.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "ingest/summary.h"

#include <stdbool.h>
#include <stdint.h>

struct excess {
	struct limits limits;
	struct limiter *limiter;
	struct limiter_notice notice;
	bool telling; // notice is not in the database yet
	struct metric *messages, *bytes;
};

bool excess_init(struct excess *excess, const struct limits *limits, struct metrics *metrics, int64_t mono_ms,
		 struct error *error) must_check;
void excess_done(struct excess *excess);
bool excess_prepare(struct pg *pg, struct error *error) must_check;

// This was committed.
void excess_count(struct excess *excess, const struct summary *summary, int64_t mono_ms);
// Writes down who was over the limits. What fails is written the next time.
bool excess_tell(struct excess *excess, struct pg *pg, int64_t mono_ms, struct error *error) must_check;
