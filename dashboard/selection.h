// A statement about devices of the roster (device_roster r) while it is being written: text, and the values of its
// parameters in order. What selects the devices is a query, listed ids, and what the list's other parameters say.
#pragma once

#include "common/http.h"
#include "common/query.h"
#include "dashboard/dashboard.h"
#include "dashboard/targets.h"

#include <stdbool.h>
#include <stddef.h>

#define SELECTION_PARAMS_MAX (QUERY_PARAMS_MAX + 16)
#define SELECTION_NUMBER_BYTES 24

struct selection {
	struct buf sql;
	const char *params[SELECTION_PARAMS_MAX]; // not owned
	size_t count;
	struct query query; // owns its values
};

void selection_init(struct selection *selection);
void selection_done(struct selection *selection);
#define auto_selection cleanup(selection_done)

// Appends text.
void selection_add(struct selection *selection, const char *sql);
// Appends "$n::cast" for value, which must stay until the statement is run; NULL is SQL null.
void selection_param(struct selection *selection, const char *value, const char *cast);
// As selection_param, for value written into text.
void selection_number(struct selection *selection, int64_t value, char text[SELECTION_NUMBER_BYTES]);

// Appends " where <condition>" for a query and ids (a PostgreSQL text[] literal; "" for all). Once a statement.
bool selection_where(struct selection *selection, struct pg *pg, const char *query, const char *devices,
		     struct error *error) must_check;
// As selection_where; false: the request is answered.
bool selection_where_for(struct selection *selection, struct dashboard *dashboard, struct http_request *request,
			 const char *query, const char *devices) must_check;
// As selection_where_for, for the parameters "query", "q" (a text to find) and, unless any_status, "status".
bool selection_where_asked(struct selection *selection, struct dashboard *dashboard, struct http_request *request,
			   bool any_status) must_check;
// Appends the condition of a status or "revoked"; NULL: none.
void selection_status(struct selection *selection, const char *status);
// False: "status" is none there is, and the request is answered.
bool selection_check_status(struct http_request *request) must_check;

// Runs it. False: the request is answered.
bool selection_run(struct selection *selection, struct dashboard *dashboard, struct http_request *request,
		   struct pg_result **rows) must_check;
