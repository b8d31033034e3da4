// Keys of programs that use the API (Authorization: Bearer). Shown once, of limited life, never with more rights than
// whoever they belong to has at the time.
#pragma once

#include "common/http.h"

http_handler api_keys_list;   // GET /api/v1/api-keys
http_handler api_keys_create; // POST /api/v1/api-keys
http_handler api_keys_revoke; // DELETE /api/v1/api-keys/{id}
