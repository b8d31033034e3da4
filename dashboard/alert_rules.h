// GET /api/v1/alert-rules: what is looked for; their kinds and parameters are those of common/alert_kind.h.
#pragma once

#include "common/http.h"

http_handler alert_rules_kinds;	  // GET /api/v1/alert-rules/kinds
http_handler alert_rules_list;	  // GET /api/v1/alert-rules
http_handler alert_rules_get;	  // GET /api/v1/alert-rules/{id}
http_handler alert_rules_preview; // POST /api/v1/alert-rules/preview
http_handler alert_rules_create;  // POST /api/v1/alert-rules
http_handler alert_rules_change;  // PATCH /api/v1/alert-rules/{id}
http_handler alert_rules_delete;  // DELETE /api/v1/alert-rules/{id}
