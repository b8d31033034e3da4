// /api/v1/commands/{id}/output: what a command has printed so far, as chunks (?after=N for those that follow chunk N)
// or, with ?format=text, as it was printed.
#pragma once

#include "common/http.h"

http_handler outputs_get;

extern const char outputs_changed_sql[]; // for the live streams (feed.h)
