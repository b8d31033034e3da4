// The system itself: its parts, queues, broker and database, what the canary proved, and the authorities' time. And
// what the dashboard says of itself.
#pragma once

#include "common/error.h"
#include "common/http.h"

struct dashboard;
struct system;

struct system *system_new(struct dashboard *dashboard, struct error *error) must_check;
void system_free(struct system *system);

http_handler system_get; // GET /api/v1/system
