// The API of what is done to many devices at once; the work is in bulk_job.h.
#pragma once

#include "common/http.h"

http_handler bulk_create;  // POST /api/v1/devices/bulk
http_handler bulk_preview; // POST /api/v1/devices/bulk/preview
http_handler bulk_list;	   // GET /api/v1/bulk
http_handler bulk_get;	   // GET /api/v1/bulk/{id}
http_handler bulk_cancel;  // DELETE /api/v1/bulk/{id}
