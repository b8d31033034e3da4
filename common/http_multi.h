// HTTPS requests that do not keep anybody waiting, over libcurl's multi interface, driven by common/loop.h. HTTP/2
// where the server speaks it, and then one connection for all requests to it; common/http_client.h is for programs
// that have nothing else to do meanwhile.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/reach.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_multi;

struct http_multi_options {
	const char *ca_file; // the only roots trusted; NULL: the system's
	size_t calls_max;    // under way at a time; beyond, http_multi_start says ERROR_LIMIT
	size_t answer_max_bytes;
	enum reach reach; // of addresses that people named; but for REACH_ANY no proxy is used
};

// Strings are copied by http_multi_start.
struct http_call {
	const char *method;
	const char *url; // https://, or http:// to this machine
	const char *content_type;
	const char *body;
	const char *bearer_token; // NULL: none; never logged
	const char *request_id;   // X-Request-ID; NULL: none
	const char *const *headers; // further lines, "Name: value", ending with NULL; NULL: none
	int timeout_ms;           // for all of it: name, connection, TLS, answer
};

struct http_answer {
	int status;          // 0: there is none, and error says why
	const char *body;    // NUL-terminated; belongs to the caller's caller until fn returns
	size_t body_bytes;
	int64_t retry_after_s; // -1: not given
	int64_t duration_ms;
	bool http2;
	struct error error; // ERROR_TIMEOUT, ERROR_UNREACHABLE, ERROR_DENIED (TLS), ERROR_LIMIT (answer too large)
};

// Called from the loop, once for each call that was started.
typedef void http_answer_fn(void *user, const struct http_answer *answer);

struct http_multi *http_multi_new(struct loop *loop, const struct http_multi_options *options,
				  struct error *error) must_check;
// Drops what is under way without calling back.
void http_multi_free(struct http_multi *multi);
DEFINE_CLEANUP(struct http_multi, http_multi_free)

// fn is never called from within.
bool http_multi_start(struct http_multi *multi, const struct http_call *call, http_answer_fn *fn, void *user,
		      struct error *error) must_check;
size_t http_multi_under_way(const struct http_multi *multi);
uint64_t http_multi_connections(const struct http_multi *multi); // made so far
