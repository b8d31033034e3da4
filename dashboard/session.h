// Logging in, by password or by a one-time link, asking who one is, and logging out. An account with a second factor
// logs in in two steps: the first answers 202 whatever the password was, and only the second says whether all was
// right.
#pragma once

#include "common/http.h"

http_handler session_create; // POST /api/v1/session
http_handler session_get;    // GET /api/v1/session
http_handler session_delete; // DELETE /api/v1/session
