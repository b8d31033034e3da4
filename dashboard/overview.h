// The fleet at a glance: how it is, how it came to be so, and what changed in the last hour.
#pragma once

#include "common/error.h"
#include "common/http.h"
#include "dashboard/pieces.h"

struct pieces *overview_new(struct error *error) must_check;

http_handler overview_get; // GET /api/v1/overview
