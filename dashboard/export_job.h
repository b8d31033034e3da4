// One export: from the row that asks for it to the file.
#pragma once

#include "common/pg.h"
#include "dashboard/dashboard.h"

#include <stdbool.h>
#include <stdint.h>

struct export_job {
	const struct dashboard_config *config;
	struct pg *data;    // reads, as the asker may
	struct pg *control; // says how far it is
	int interrupt_fd;   // an eventfd that data watches: written to end what waits for the database
	int64_t bytes_max;
};

// Makes the one that was asked for first; *found: there was one. False when the database could not be asked; what fails
// otherwise is told in the row.
bool export_job_next(struct export_job *job, bool *found, struct error *error) must_check;
