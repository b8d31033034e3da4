// The description of this API for programs (OpenAPI 3.1), made from what it describes: the table of routes and the
// table of actions.
#pragma once

#include "common/http.h"
#include "common/json.h"

struct json *openapi_document(void) must_check;

http_handler openapi_get; // GET /api/v1/openapi.json
