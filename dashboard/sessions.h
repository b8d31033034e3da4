// Sessions of people in browsers: whose, from where, and their end.
#pragma once

#include "common/http.h"

http_handler sessions_list;	  // GET /api/v1/sessions
http_handler sessions_end;	  // DELETE /api/v1/sessions/{id}
http_handler sessions_end_others; // DELETE /api/v1/sessions
