// One device with all that is known of it, and its tags.
#pragma once

#include "common/http.h"

http_handler devices_get; // GET /api/v1/devices/{id}
http_handler devices_tag; // POST /api/v1/devices/{id}/tags

// For the live streams (feed.h): summaries of devices changed, revoked or restored.
extern const char devices_changed_sql[];
