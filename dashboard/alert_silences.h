// GET /api/v1/silences: times in which nobody is told of alerts, once or each week.
#pragma once

#include "common/http.h"

http_handler alert_silences_list;   // GET /api/v1/silences
http_handler alert_silences_create; // POST /api/v1/silences
http_handler alert_silences_end;    // DELETE /api/v1/silences/{id}
