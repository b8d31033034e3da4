// Commands: the list, one with its history, and requesting one. Only commander moves them on.
#pragma once

#include "common/http.h"

http_handler commands_list;   // GET /api/v1/commands
http_handler commands_get;    // GET /api/v1/commands/{id}
http_handler commands_create; // POST /api/v1/commands

// As devices_changed_sql, for commands.
extern const char commands_changed_sql[];
