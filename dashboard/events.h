// What devices reported as events, newest first.
#pragma once

#include "common/http.h"

http_handler events_list; // GET /api/v1/events
extern const char events_changed_sql[]; // for the live streams (feed.h)
