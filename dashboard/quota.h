// How often who may ask the API, and whether changes are written down. The limits of a minute hold for each person on
// the page, each API key, and each address that nobody is known behind; a person may save up ten minutes of them, since
// a page asks several things at once and then nothing for long.
#pragma once

#include "dashboard/auth.h"
#include "dashboard/dashboard.h"

// Both answer 429 themselves, with Retry-After.
bool quota_take(struct dashboard *dashboard, struct http_request *request, const struct auth *auth) must_check;
bool quota_take_address(struct dashboard *dashboard, struct http_request *request) must_check;
// After the answer: counts, by route, changes that were made and those that left a row in the audit.
void quota_after(struct dashboard *dashboard, const struct http_request *request, int status);
