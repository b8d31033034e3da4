// What the resources about people share: one change, its row in the audit, and the end of sessions.
#pragma once

#include "dashboard/api.h"

// A change in the making: people_begin starts the transaction; people_commit writes the audit and commits. False: the
// request is answered, and nothing is changed.
bool people_begin(struct dashboard *dashboard, struct http_request *request) must_check;
bool people_query(struct dashboard *dashboard, struct http_request *request, struct pg_result **out, const char *sql,
		  size_t count, const char *const *params) must_check;
#define PEOPLE_QUERY(dashboard, request, out, sql, ...)                                                                \
	people_query(dashboard, request, out, sql, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *),  \
		     (const char *const[]){__VA_ARGS__})
bool people_commit(struct dashboard *dashboard, struct http_request *request, const char *action, const char *target,
		   const char *detail) must_check;
// Takes back what was begun, and answers.
void people_refuse(struct dashboard *dashboard, struct http_request *request, int status, const char *detail);

// Ends the live streams of the sessions whose hashes (hex) stand in column 0.
void people_end_streams(struct dashboard *dashboard, const struct pg_result *hashes);

// "https://<host>/<path>#<token>", under public_url or else the address that request was sent to.
#define PEOPLE_LINK_MAX 600
void people_link(const struct dashboard *dashboard, const struct http_request *request, const char *path,
		 const char *token, char out[PEOPLE_LINK_MAX]);
