// Commands: the list, one with its history, requesting and cancelling them. Only commander moves them on.
#pragma once

#include "common/http.h"

http_handler commands_list;   // GET /api/v1/commands
http_handler commands_get;    // GET /api/v1/commands/{id}
http_handler commands_create; // POST /api/v1/commands
http_handler commands_cancel; // POST /api/v1/commands/{id}/cancel
http_handler commands_remove; // DELETE /api/v1/commands?device= | older_than_s=

struct dashboard;
// Answers with the command as it is, and where it is.
void commands_reply(struct dashboard *dashboard, struct http_request *request, int status, const char *id);

// As devices_changed_sql, for commands.
extern const char commands_changed_sql[];
