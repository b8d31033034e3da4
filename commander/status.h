// /health and /metrics, plain HTTP on loopback.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Into part_state, when it is time; nothing while the database is away.
void status_tell(struct commander *commander);
// Nothing when http.port is 0.
bool status_start(struct commander *commander, struct error *error) must_check;
