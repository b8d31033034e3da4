// /health and /metrics for supervisors and Prometheus: plain HTTP, meant for loopback.
#pragma once

#include "common/error.h"
#include "common/metrics.h"
#include "ingest/options.h"

#include <stdbool.h>

struct health;

// What /health tells; written by the owner.
struct health_facts {
	bool broker; // connected, and every subscription granted
	bool silent; // connected, but it does not answer
	bool database;
	bool waiting; // a batch is held until the database is back
};

struct health *health_new(const struct options *options, struct metrics *metrics, const struct health_facts *facts,
			  struct error *error) must_check;
void health_free(struct health *health);
DEFINE_CLEANUP(struct health, health_free)

bool health_serve(struct health *health, struct error *error) must_check; // what has come, without waiting
