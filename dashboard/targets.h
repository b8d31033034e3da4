// Whom a request is for: the member "target" of a body, and queries of the language of common/query.h.
#pragma once

#include "common/http.h"
#include "common/json.h"
#include "common/query.h"
#include "dashboard/dashboard.h"

#include <stdbool.h>
#include <stddef.h>

#define TARGETS_LISTED_MAX 5000

// Compiles text with the filters and groups of the database. False: the request is answered.
bool targets_compile(struct dashboard *dashboard, struct http_request *request, const char *text, size_t first_param,
		     struct query *out) must_check;
// Answers for a query that could not be compiled.
void targets_refuse(struct dashboard *dashboard, struct http_request *request, const struct error *error);

// {"devices":[..]} or one of device, tag, group, filter, query (texts) and "all":true.
struct targets {
	struct buf query;   // text; "" for everything
	struct buf devices; // a PostgreSQL text[] literal; "" when they are not listed
};
void targets_init(struct targets *targets);
void targets_done(struct targets *targets);
bool targets_read(const struct json *body, struct targets *out, struct error *error) must_check;
