// The live console: a credential with which a page reads along at the broker (common/console.h).
#pragma once

#include "common/error.h"
#include "common/http.h"

#include <stdbool.h>

struct dashboard;

// The key that signs credentials; without console.url there is no console. For dashboard->console_signer.
bool console_load(struct dashboard *dashboard, struct error *error) must_check;

http_handler console_create; // POST /api/v1/console
