// People: who they are, what they may do, and how they get in for the first time.
#pragma once

#include "common/http.h"

http_handler users_list;       // GET /api/v1/users
http_handler users_create;     // POST /api/v1/users
http_handler users_get;	       // GET /api/v1/users/{name}
http_handler users_change;     // PATCH /api/v1/users/{name}
http_handler users_delete;     // DELETE /api/v1/users/{name}
http_handler users_login_link; // POST /api/v1/users/{name}/login-link
http_handler users_totp_reset; // DELETE /api/v1/users/{name}/totp
