// All simulated devices in one process and one loop.
#pragma once

#include "tools/sim/device.h"

struct swarm {
	struct shared shared;
	struct device *devices;
	size_t count;
	int signal_fd;
	int64_t started_ms; // monotonic
	bool ready_told;
	bool stopping;
	int64_t stop_ms;    // monotonic; when draining ends
};

// Opens the files, gives every device its identity (enrolling those that have none: this takes a while) and schedules
// the first connects.
bool swarm_init(struct swarm *swarm, const struct options *options, struct error *error) must_check;
void swarm_done(struct swarm *swarm);
// Until a signal, or with --limit until everything is stored. False when it failed; *complete: every device that has
// to has made its readings, and every outbox is empty.
bool swarm_run(struct swarm *swarm, bool *complete, struct error *error) must_check;
void swarm_print_summary(const struct swarm *swarm, FILE *out);
