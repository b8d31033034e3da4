// Taking a request for a command in: from the API and the page (commands.c), and signed by a program (admin.c).
#pragma once

#include "common/http.h"
#include "common/json.h"
#include "dashboard/dashboard.h"

struct asker {
	const char *name;   // command.requested_by
	const char *source; // "web", "api" or "admin"
};

// Reads, checks and stores what json asks for, with a row of the audit, and answers. Idempotency-Key, when given, makes
// a repetition by the same asker the same command.
void ask_command(struct dashboard *dashboard, struct http_request *request, const struct asker *asker,
		 const struct json *json);
