// /health and /metrics, plain HTTP on loopback.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct commander;

// Nothing when http.port is 0.
bool status_start(struct commander *commander, struct error *error) must_check;
