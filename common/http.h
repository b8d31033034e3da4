// An HTTP/1.1 server with TLS over libevent. Every answer carries X-Request-ID (taken from the request when it is
// well formed, made otherwise) and the security headers; errors are application/problem+json (RFC 9457).
// Refused before any handler runs: two Content-Length headers, Content-Length together with Transfer-Encoding
// (RFC 9112 section 6.3), bodies and headers over their ceilings.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_request; // lives until it is answered, or its stream is closed
struct http_stream;

typedef void http_handler(struct http_request *request, void *user);

// Routes are tried in order; "{name}" matches one path segment. A path that matches with another method answers
// 405 with Allow; none answers 404. HEAD is answered by GET.
struct http_route {
	const char *method;
	const char *pattern; // "/api/v1/devices/{id}"
	http_handler *handler;
	int tag; // for the program's own use (required role, rate class); see http_route_tag
};

struct http_options {
	const char *address; // "127.0.0.1"
	int port;            // 0: the kernel chooses; http_server_port tells
	const char *cert_file, *key_file; // NULL: plain HTTP (loopback /metrics only). Read again when they change
	// Whose certificates clients may show, PEM, read again when it changes; one by others ends the handshake. NULL:
	// none is asked for.
	const char *client_ca_file;
	// The files above have changed: they count from the next connection on, or (error) cannot be used, and the
	// former ones stay. Called with each look at broken ones, once a second at most. NULL for none.
	void (*tls_changed)(const struct error *error, void *user);
	size_t body_max_bytes;
	const struct http_route *routes;
	size_t route_count;
	// Called before the handler, NULL for none: false means that it has answered already (401, 403, 429).
	bool (*before)(struct http_request *request, void *user);
	// Called once per answered request, for logs and metrics; NULL for none.
	void (*after)(struct http_request *request, int status, int64_t duration_us, void *user);
	void *user;
	int timeout_ms;      // for a head, for a body above its size over 4 kB/s, idle; 0: HTTP_TIMEOUT_S
	int connections_max; // more wait in the kernel's queue; 0: HTTP_CONNECTIONS_MAX
	// Connections of one address (IPv6: of one /64) on which nobody is known (http_known); more are closed at once.
	// 0: as many as there are.
	int unknown_max;
	void (*crowded)(const char *peer, void *user); // called for each that is; NULL for none
	// Addresses and networks whose X-Forwarded-For is believed, NULL-terminated, the caller's; NULL: nobody's is.
	char *const *proxies;
	// Answers in JSON to GET are compressed where the client takes gzip. Others are not: those to changes are what
	// holds fresh secrets, whose length in compressed form could tell them to who chooses what stands beside them
	// (BREACH).
	bool compress;
	// Of routes with a bit of this in their tag, answers in JSON to GET bear an ETag made from the body; whoever
	// has that one already (If-None-Match) gets 304 without it. Caches of people's own may keep them, and ask
	// each time. All else is kept by nobody. 0: none.
	int keep_tag;
};

struct http_server *http_server_new(struct loop *loop, const struct http_options *options, struct error *error)
	must_check;
void http_server_free(struct http_server *server); // open streams are closed
DEFINE_CLEANUP(struct http_server, http_server_free)
int http_server_port(const struct http_server *server);

const char *http_method(const struct http_request *request);
const char *http_path(const struct http_request *request);
const char *http_route_pattern(const struct http_request *request); // for metrics: never the raw path
const char *http_route_method(const struct http_request *request);  // likewise: never one that the client made up
int http_route_tag(const struct http_request *request);
const char *http_request_id(const struct http_request *request);
const char *http_peer(const struct http_request *request); // address without port, of the client of a known proxy
// Whoever sent it is known: the connection does not count against unknown_max any more.
void http_known(struct http_request *request);
// The client's certificate, which http_options.client_ca_file vouches for: malloc'd PEM; NULL without one, or when the
// client has gone.
char *http_peer_certificate(const struct http_request *request) must_check;
const char *http_header(const struct http_request *request, const char *name);      // NULL without
const char *http_param(const struct http_request *request, const char *name);       // of the pattern; decoded
const char *http_query(const struct http_request *request, const char *name);       // decoded; NULL without
const char *http_cookie(const struct http_request *request, const char *name, char *out, size_t out_bytes);
const char *http_body(const struct http_request *request, size_t *len_bytes);       // NUL-terminated
// Content-Type is application/json; answers 415 itself when it is not.
bool http_expect_json(struct http_request *request) must_check;
// The body as a JSON object; answers 400 or 415 itself and returns NULL when it is not.
struct json *http_body_json(struct http_request *request) must_check;
// For the program's own per-request data (the session found by before()); freed with the request.
void http_set_context(struct http_request *request, void *context, void (*free_fn)(void *context));
void *http_context(const struct http_request *request);

// Each request is answered exactly once, at once or later: it stays valid until then, and until the handler returns
// that it was given to; a second answer there is none. When the client goes away first, answering is harmless.
void http_reply_header(struct http_request *request, const char *name, const char *value);
void http_reply(struct http_request *request, int status, const char *content_type, const void *body,
		size_t len_bytes);
// For large bodies that many clients get: body is not copied, and must stay until release(user) is called, which
// happens once in any case.
void http_reply_shared(struct http_request *request, int status, const char *content_type, const void *body,
		       size_t len_bytes, void (*release)(void *user), void *user);
// Answers with a file, read as the client takes it, however large it is. Takes fd. etag, in quotation marks, names its
// content: Range and If-Range (RFC 9110, section 14) continue a download that was cut, If-None-Match spares it.
void http_reply_file(struct http_request *request, const char *content_type, int fd, const char *etag);
void http_reply_json(struct http_request *request, int status, struct json *json); // takes json
// {"type":"about:blank","title":..,"status":..,"detail":..,"request_id":..}; detail says what to do.
void http_reply_problem(struct http_request *request, int status, const char *detail);

// Server-sent events: answers 200 text/event-stream and keeps the connection. closed is called once when the
// client or the server ends it (within http_stream_close too); the stream must not be used after that, and the request
// lives as long. NULL, with closed never called, for HEAD and when the client has already gone. A stream that is cut
// for being HTTP_STREAM_UNSENT_MAX behind is closed by the loop, not within http_stream_send.
struct http_stream *http_stream_start(struct http_request *request, void (*closed)(void *user), void *user);
bool http_stream_send(struct http_stream *stream, const char *text, size_t len_bytes); // false: too far behind, was cut
// The same text for many streams: held once, however many of them have yet to send it.
struct http_frame;
struct http_frame *http_frame_new(const char *text, size_t len_bytes) must_check; // NULL: out of memory
void http_frame_free(struct http_frame *frame); // the caller's hold on it; streams keep theirs
DEFINE_CLEANUP(struct http_frame, http_frame_free)
bool http_stream_send_frame(struct http_stream *stream, struct http_frame *frame); // as http_stream_send
void http_stream_close(struct http_stream *stream);
