// Between http.c (sockets, connections) and http_request.c (one request and its answer); for nobody else.
#pragma once

#include "common/buf.h"
#include "common/http.h"
#include "common/http_parse.h"
#include "common/limits.h"

#include <netinet/in.h>

enum { HTTP_PARAMS_MAX = 8, HTTP_REPLY_HEADERS_MAX = 16 * 1024 };

struct http_connection;

struct http_frame {
	size_t holds; // whoever made it, and each stream that has yet to send it
	size_t len_bytes;
	char text[];
};

struct http_request {
	struct http_connection *connection; // NULL once the client has gone
	struct http_server *server;	    // NULL once the server is freed
	struct http_request *next, **link;  // in the server's list

	char *text; // the head's strings
	struct http_head head;
	struct buf body;
	char id[REQUEST_ID_MAX + 1];
	char peer[INET6_ADDRSTRLEN];
	bool tls;
	int64_t start_us; // monotonic

	const struct http_route *route; // NULL: none matches
	char *param_text;		// the path, cut into decoded segments
	struct {
		const char *name; // in the pattern, up to its closing brace
		char *value;
	} params[HTTP_PARAMS_MAX];
	size_t param_count;
	char *query_text; // NULL until the first http_query
	struct http_field query[HTTP_QUERY_MAX];
	size_t query_count;

	struct buf reply_headers; // whole lines
	unsigned overridden;	  // bit i: the handler has set default header i
	bool close;		  // the connection cannot go on after the answer

	void *context;
	void (*context_free)(void *context);
};

// Takes text, the head as it came (len_bytes, with a terminator after it). When the head is bad, *refusal is
// filled, and the request still serves to answer it.
struct http_request *http_request_new(char *text, size_t len_bytes, size_t body_max_bytes,
				      struct http_refusal *refusal);
void http_request_free(struct http_request *request);
// Finds the route; when there is none answers 404 or 405 and returns NULL.
const struct http_route *http_request_route(struct http_request *request, const struct http_route *routes,
					    size_t count);
// Status line and header lines. content_type NULL: none. length_bytes < 0: a stream without Content-Length.
void http_reply_head(struct http_request *request, struct buf *out, int status, const char *content_type,
		     int64_t length_bytes, bool close);
