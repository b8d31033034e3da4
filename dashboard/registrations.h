// Devices that registered themselves, and what people decide on them.
#pragma once

#include "common/http.h"

http_handler registrations_list;    // GET /api/v1/registrations
http_handler registrations_get;	    // GET /api/v1/registrations/{id}
http_handler registrations_approve; // POST /api/v1/registrations/{id}/approve
http_handler registrations_reject;  // POST /api/v1/registrations/{id}/reject
http_handler registrations_decide;  // POST /api/v1/registrations/decide: many at once

extern const char registrations_changed_sql[]; // for the live streams (feed.h)
