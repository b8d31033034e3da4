// Saved filters: queries under a name.
#pragma once

#include "common/http.h"

http_handler filters_list;   // GET /api/v1/filters
http_handler filters_save;   // POST /api/v1/filters
http_handler filters_delete; // DELETE /api/v1/filters/{name}
