// Campaigns: one command for many devices, little by little. What is asked for is stored here; commander does it.
#pragma once

#include "common/http.h"

http_handler campaigns_list;    // GET /api/v1/campaigns
http_handler campaigns_get;     // GET /api/v1/campaigns/{id}
http_handler campaigns_targets; // GET /api/v1/campaigns/{id}/targets
http_handler campaigns_pace;    // GET /api/v1/campaigns/{id}/pace
http_handler campaigns_preview; // POST /api/v1/campaigns/preview
http_handler campaigns_create;  // POST /api/v1/campaigns
http_handler campaigns_start;   // POST /api/v1/campaigns/{id}/start, and so on
http_handler campaigns_pause;
http_handler campaigns_resume;
http_handler campaigns_abort;
http_handler campaigns_approve;

extern const char campaigns_changed_sql[]; // for the live streams (feed.h)
