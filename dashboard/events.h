// What devices reported as events, newest first.
#pragma once

#include "common/http.h"

http_handler events_list; // GET /api/v1/events
