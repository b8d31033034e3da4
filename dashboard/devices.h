// Devices: the list, one device with all that is known of it, and its telemetry for charts.
#pragma once

#include "common/device_sql.h"
#include "common/http.h"

http_handler devices_list; // GET /api/v1/devices
http_handler devices_get;  // GET /api/v1/devices/{id}
http_handler devices_tag;  // POST /api/v1/devices/{id}/tags

// For the live streams (feed.h): summaries of devices changed, revoked or restored.
extern const char devices_changed_sql[];
