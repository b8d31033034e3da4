// The fleet in a few numbers.
#pragma once

#include "common/error.h"
#include "common/http.h"

struct dashboard;
struct overview; // samples of what ingest has taken in, for the rate of the last minute

struct overview *overview_new(struct dashboard *dashboard, struct error *error) must_check;
void overview_free(struct overview *overview);
DEFINE_CLEANUP(struct overview, overview_free)

http_handler overview_get; // GET /api/v1/overview
