// Whom to trust, told to devices: when the service CA's bundle changes, each device of the fleet that is online and
// said another one in its hello gets {"ca":..} on its certificate topic; and so does each that comes later. At a
// bounded rate, and once for each bundle, unless the device still says another one an hour later.
#pragma once

#include "bridge/authority.h"
#include "bridge/link.h"
#include "bridge/worker.h"
#include "common/log.h"
#include "common/metrics.h"

struct trust {
	struct worker *worker;
	struct link *link;
	const struct authority *authority;
	struct metric *told;
	long rate_per_s; // devices
	int64_t next_ms; // monotonic; when to look again
	bool busy;	 // looking, or noting what was told
	struct log_fault *fault; // of the database
};

// Looks and tells, when it is time; to be called once a second.
void trust_tick(struct trust *trust, int64_t now_ms);
// The bundle has changed: look at the next call.
void trust_changed(struct trust *trust);
