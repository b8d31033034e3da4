// What the fleet did over weeks, from rollups that are added up as things come (db/migrations/0030_analytics.sql): no
// answer scans the devices.
#pragma once

#include "common/http.h"

http_handler analytics_trends;	  // GET /api/v1/analytics/trends
http_handler analytics_compare;	  // GET /api/v1/analytics/compare
http_handler analytics_events;	  // GET /api/v1/analytics/events
http_handler analytics_uptime;	  // GET /api/v1/analytics/uptime
http_handler analytics_reporters; // GET /api/v1/analytics/reporters
http_handler analytics_scopes;	  // GET /api/v1/analytics/scopes
