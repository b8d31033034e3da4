// The live console: credentials with which a page reads along at the brokers (common/console.h).
#pragma once

#include "common/error.h"
#include "common/http.h"

#include <stdbool.h>

struct dashboard;

// The key that signs credentials, and where they count; without an address there is no console. For
// dashboard->console_signer and console_places.
bool console_load(struct dashboard *dashboard, struct error *error) must_check;
void console_unload(struct dashboard *dashboard);

http_handler console_create; // POST /api/v1/console
