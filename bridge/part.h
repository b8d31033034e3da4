// What the bridge says of itself (common/part_state.h), from the thread of the database.
#pragma once

#include "bridge/worker.h"
#include "common/log.h"
#include "common/part_state.h"

#include <stdbool.h>

struct part {
	struct worker_job job;
	struct part_state state;
	bool busy;	 // job is under way
	const char *why; // what it is to say
	struct log_fault fault;
};

void part_init(struct part *part, const char *address, long port);
// When it is time; nothing while the database is silent. why: what is not well, NULL: nothing; a literal. part must
// live until the worker is freed.
void part_tell(struct part *part, struct worker *worker, const char *why);
