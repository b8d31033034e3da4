// Between http.c (sockets, connections), http_request.c (one request and its answer), http_file.c (answers read from
// files) and http_gzip.c; for nobody else.
#pragma once

#include "common/buf.h"
#include "common/http.h"
#include "common/http_parse.h"
#include "common/http_peer.h"
#include "common/limits.h"

#include <netinet/in.h>

enum {
	HTTP_PARAMS_MAX = 8,
	HTTP_REPLY_HEADERS_MAX = 16 * 1024,
	HTTP_OUTPUT_MAX = 256 * 1024, // unread answers beyond which a pipelining client's next request waits
};

enum connection_state { READING_HEAD, READING_BODY, ANSWERING, SENDING, STREAMING, CLOSING, LINGERING };

// What is left to send of a file.
struct http_piece {
	int fd;
	int64_t at, end;
	bool close; // the connection, after it
};

struct http_stream {
	struct http_connection *connection;
	struct http_request *request;
	void (*closed)(void *user);
	void *user;
	bool cut;     // too far behind
	bool closing; // inside closed()
};

struct http_connection {
	struct http_server *server;
	struct http_connection *next, **link;
	struct bufferevent *bev;
	struct event *timer;
	enum connection_state state;
	struct http_request *request; // READING_BODY, ANSWERING
	struct http_piece piece;      // SENDING
	struct http_stream stream;    // STREAMING
	struct http_chunks chunks;
	char peer[INET6_ADDRSTRLEN], network[HTTP_PEER_BYTES];
	bool head_started;   // a byte of the next request has come
	bool processing;     // inside process()
	bool half_closed;    // the client sends no more
	bool known;	     // http_known
	int timeout_ms;	     // of the server
	size_t unsent_bytes; // when the timer was last set
};

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
	bool in_handler;	  // which may still look at it when it is answered: it is freed afterwards
	bool done;		  // answered; it is freed when its handler returns

	void *context;
	void (*context_free)(void *context);
};

// Takes text, the head as it came (len_bytes, with a terminator after it). When the head is bad, *refusal is
// filled, and the request still serves to answer it.
struct http_request *http_request_new(char *text, size_t len_bytes, size_t body_max_bytes,
				      struct http_refusal *refusal);
void http_request_free(struct http_request *request);
// Whether the body is worth gzip's form and may have it; then the answer is said to depend on that.
bool http_compressible(struct http_request *request, const char *content_type, size_t len_bytes);
// The body in gzip's form; false: as it is.
bool http_compress(struct http_request *request, const void *body, size_t len_bytes, struct buf *out);
// Gives an answer that caches may keep its ETag; packed: it is sent in gzip's form. True: the client has it already.
bool http_unchanged(struct http_request *request, int status, const char *content_type, const void *body,
		    size_t len_bytes, bool packed);
// Finds the route; when there is none answers 404 or 405 and returns NULL.
const struct http_route *http_request_route(struct http_request *request, const struct http_route *routes,
					    size_t count);
// Tells the server that the answer is on its way, and goes on with the connection after it.
void http_report(struct http_request *request, int status);
void http_finish_answer(struct http_connection *connection, bool close);
void http_deadline(struct http_connection *connection, int64_t ms);
// The next of the file, as much as the client may be behind.
void http_send_piece(struct http_connection *connection);
// Status line and header lines. content_type NULL: none. length_bytes < 0: a stream without Content-Length.
void http_reply_head(struct http_request *request, struct buf *out, int status, const char *content_type,
		     int64_t length_bytes, bool close);
