// Groups of devices: with listed members, or with those that match a query.
#pragma once

#include "common/http.h"

http_handler groups_list;   // GET /api/v1/groups
http_handler groups_create; // POST /api/v1/groups
http_handler groups_get;    // GET /api/v1/groups/{name}
http_handler groups_change; // POST /api/v1/groups/{name}/devices
http_handler groups_edit;   // PATCH /api/v1/groups/{name}
http_handler groups_delete; // DELETE /api/v1/groups/{name}
