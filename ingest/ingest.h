// The program's own loop: reads a batch from the broker, commits it, and only then lets the acknowledgements go.
#pragma once

#include "common/error.h"
#include "ingest/options.h"

#include <stdbool.h>

struct ingest;

struct ingest *ingest_new(const struct options *options, int signal_fd, struct error *error) must_check;
void ingest_free(struct ingest *ingest);
DEFINE_CLEANUP(struct ingest, ingest_free)

// Until a signal arrives at signal_fd. false: it cannot go on.
bool ingest_run(struct ingest *ingest, struct error *error) must_check;
