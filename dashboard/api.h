// What the resources of the HTTP API share: queries whose failures answer the request, lists in pages, parameters.
// Rows come as JSON text made by PostgreSQL, so that the shape of an answer stands in the SQL of its resource.
#pragma once

#include "common/buf.h"
#include "common/http.h"
#include "common/pg.h"
#include "dashboard/dashboard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API_LIMIT_DEFAULT 100
#define API_LIMIT_MAX 500
#define API_ANSWER_MAX_BYTES ((size_t)8 * 1024 * 1024) // 500 commands with results of some kB
#define API_CURSOR_MAX 256

// The program has one thread: a statement that takes long, or a server that hangs, holds up everybody. So PostgreSQL
// ends a statement first, and a server that does not even do that counts as lost.
#define API_STATEMENT_TIMEOUT "5s"
#define API_ANSWER_TIMEOUT_MS 8000
// For pg_on_connect.
bool api_on_connect(struct pg *pg, void *user, struct error *error) must_check;

// One statement. When it fails the request is answered (503 while the database is away, 400 for data it refuses,
// 403 for what is out of the scope, 500 otherwise) and false returned. *out may be NULL when rows do not matter.
bool api_query(struct dashboard *dashboard, struct http_request *request, struct pg_result **out, const char *sql,
	       size_t count, const char *const *params) must_check;
// As api_query, for statements that may run twice: a connection that turns out to be lost is made anew at once.
bool api_query_again(struct dashboard *dashboard, struct http_request *request, struct pg_result **out,
		     const char *sql, size_t count, const char *const *params) must_check;
// Answers for a failed statement of the caller's own.
void api_reply_error(struct dashboard *dashboard, struct http_request *request, const struct error *error);
// A row for the audit, by whoever is logged in; detail is a JSON object.
bool api_audit(struct dashboard *dashboard, const struct http_request *request, const char *actor, const char *action,
	       const char *target, const char *detail, struct error *error) must_check;

// The query parameter "limit", 1 to API_LIMIT_MAX; answers 400 itself.
bool api_limit(struct http_request *request, int64_t *limit) must_check;
// A query parameter that is an integer in min..max, absent otherwise: *out stays as it is. Answers 400 itself.
bool api_int(struct http_request *request, const char *name, int64_t min, int64_t max, int64_t *out) must_check;
// A query parameter that is one of choices (NULL at the end), or absent; answers 400 itself.
bool api_choice(struct http_request *request, const char *name, const char *const *choices) must_check;
// "" counts as absent.
const char *api_text(const struct http_request *request, const char *name);
// Decimal digits, with a minus or without, within int64_t.
bool api_parse_int(const char *text, int64_t *out) must_check;
// Takes "<part>.<part>..." apart in place; false unless there are exactly count parts, none of them empty.
bool api_split_cursor(char *cursor, char **parts, size_t count) must_check;
#define API_LIMIT_BYTES 24
// The limit, also as the text of a parameter; answers 400 itself.
bool api_limit_text(struct http_request *request, int64_t *limit, char text[API_LIMIT_BYTES]) must_check;
// The same of a list whose "after" is a row's number or NULL.
bool api_numbered_page(struct http_request *request, const char *after, int64_t *limit, char text[API_LIMIT_BYTES])
	must_check;
bool api_bad_cursor(struct http_request *request); // answers 400 and returns false
// The path's {id}, a row's number; answers 404 with what is missing, and is NULL, when it can be none.
const char *api_number_of_path(struct http_request *request, const char *missing);

// The member "tags" of a body, an array of up to API_TAGS_MAX texts, as JSON text for jsonb_array_elements_text; "[]"
// when it is absent. out is made here, also on failure.
#define API_TAGS_MAX 32
#define API_TAG_BYTES_MAX 64
bool api_tags(const struct json *body, struct buf *out, struct error *error) must_check;
// As api_tags, of the member of that name.
bool api_tag_list(const struct json *body, const char *name, struct buf *out, struct error *error) must_check;

// {"items":[...],"next":"<cursor>"|null}: up to limit rows of column 0; next is set when there are more rows than
// limit, from column 1 of the last one shown.
void api_reply_page(struct http_request *request, const struct pg_result *rows, int64_t limit);
// Row 0, column 0; 404 with detail when there is no row.
void api_reply_row(struct http_request *request, const struct pg_result *rows, const char *missing_detail);
void api_reply_text(struct http_request *request, int status, const char *json);
