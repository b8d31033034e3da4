// GET /api/v1/alerts and what people do with one: acknowledge, assign, comment, clear.
#pragma once

#include "common/http.h"

http_handler alerts_list;	      // GET /api/v1/alerts
http_handler alerts_summary;	      // GET /api/v1/alerts/summary
http_handler alerts_get;	      // GET /api/v1/alerts/{id}
http_handler alerts_acknowledge_many; // POST /api/v1/alerts/acknowledge
http_handler alerts_acknowledge;      // POST /api/v1/alerts/{id}/acknowledge
http_handler alerts_assign;	      // POST /api/v1/alerts/{id}/assign
http_handler alerts_comment;	      // POST /api/v1/alerts/{id}/comment
http_handler alerts_clear;	      // POST /api/v1/alerts/{id}/clear

extern const char alerts_changed_sql[]; // for the live streams (feed.h)
