// The wire form of HTTP/1.1 requests (RFC 9112), without any I/O. Strict: whatever two parties could read in two
// ways is refused.
#pragma once

#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_field {
	const char *name;
	const char *value; // without white space around it
};

struct http_head {
	const char *method;
	const char *path;  // starts with "/"; not decoded
	const char *query; // after the "?"; NULL without
	struct http_field fields[HTTP_FIELDS_MAX];
	size_t field_count;
	int64_t content_length; // 0 without
	bool chunked;
	bool keep_alive;
	bool expect_continue;
	bool http10; // HTTP/1.0
};

struct http_refusal {
	int status;	    // 400, 417, 431, 501 or 505
	const char *detail; // a constant: what the sender is to change
};

// text is a request line and header lines, each with its CRLF, and the empty line (len_bytes counts all); it is cut
// into strings in place, to which head then points.
bool http_head_parse(char *text, size_t len_bytes, struct http_head *head, struct http_refusal *refusal);
const char *http_head_field(const struct http_head *head, const char *name); // the first; NULL without

// Chunked transfer coding, RFC 9112 section 7.1. Trailers are dropped.
struct http_chunks {
	enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE } state;
	int64_t left_bytes;   // of the chunk
	size_t trailer_bytes; // so far
};
enum http_chunk_result { HTTP_CHUNK_MORE, HTTP_CHUNK_DATA, HTTP_CHUNK_DONE, HTTP_CHUNK_BAD };
// Looks at the start of data. *used_bytes are to be taken off; they are body if the result is HTTP_CHUNK_DATA. With
// HTTP_CHUNK_MORE call again, and if *used_bytes is 0 with more data.
enum http_chunk_result http_chunks_next(struct http_chunks *chunks, const char *data, size_t len_bytes,
					size_t *used_bytes);

// Decodes %XX, and "+" as a space if plus, in place. False for a malformed escape, and for %00.
bool http_decode(char *text, bool plus);

// A Range header (RFC 9110, section 14.2) of something of size_bytes. One range of bytes is served; of several, of
// other units and of what is malformed nothing is, so that the whole is answered.
enum http_range { HTTP_RANGE_WHOLE, HTTP_RANGE_PART, HTTP_RANGE_NONE };
enum http_range http_range_parse(const char *text, int64_t size_bytes, int64_t *first, int64_t *last);
// Whether an If-None-Match or If-Range header names this entity tag, which is a strong one ("*" counts).
bool http_etag_matches(const char *header, const char *etag);
// Whether an Accept-Encoding header allows gzip.
bool http_accepts_gzip(const char *accept_encoding);
