// The audit: who changed what, and whether it is whole. Rows are made by api_audit, the chain by the database.
#pragma once

#include "common/http.h"

http_handler audit_list;   // GET /api/v1/audit
http_handler audit_verify; // GET /api/v1/audit/verify

extern const char audit_changed_sql[]; // for the live streams (feed.h)
