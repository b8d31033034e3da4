// One statement that changes something, with its row of the audit, in one transaction.
#pragma once

#include "dashboard/api.h"

struct change {
	const char *sql; // returns rows; none: there is no such thing
	size_t count;
	const char *const *params;
	const char *action, *target; // of the audit
	const char *detail;	     // a JSON object
	const char *missing;	     // answered with 404 when there are no rows
	const char *taken;	     // answered with 409 when it exists already; NULL: that cannot be
};

// False: the request is answered. Otherwise *out has the rows, and all is committed.
bool change_make(struct dashboard *dashboard, struct http_request *request, const struct change *change,
		 struct pg_result **out) must_check;
