#include "bridge/part.h"

#include "common/clock.h"

#include <stdio.h>

void part_init(struct part *part, const char *address, long port)
{
	char name[128];

	(void)snprintf(name, sizeof(name), "%s:%ld", address, port);
	*part = (struct part){.busy = false};
	part_state_init(&part->state, "bridge", name, 0);
}

static bool run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct part *part = (struct part *)job;

	return part_state_tell(&part->state, pg, part->why, NULL, error);
}

static void done(struct worker_job *job, bool ok, const struct error *error)
{
	struct part *part = (struct part *)job;

	part->busy = false;
	if (ok)
		log_fault_over(&part->fault, "state.untold");
	else
		log_fault(&part->fault, "state.untold", error);
}

void part_tell(struct part *part, struct worker *worker, const char *why)
{
	if (part->busy || worker_silent(worker) || !part_state_due(&part->state, !why, clock_mono_ms()))
		return;
	part->why = why;
	part->job = (struct worker_job){.run = run, .done = done};
	part->busy = worker_submit(worker, &part->job);
}
