// Logging in, by password or by a one-time link, asking who one is, and logging out.
#pragma once

#include "common/http.h"

http_handler session_create; // POST /api/v1/session
http_handler session_get;    // GET /api/v1/session
http_handler session_delete; // DELETE /api/v1/session
