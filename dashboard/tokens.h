// Enrolment tokens: what lets a device enrol. The secret itself is only in the answer to its making.
#pragma once

#include "common/http.h"

http_handler tokens_list;   // GET /api/v1/tokens
http_handler tokens_get;    // GET /api/v1/tokens/{id}
http_handler tokens_create; // POST /api/v1/tokens
http_handler tokens_revoke; // DELETE /api/v1/tokens/{id}
