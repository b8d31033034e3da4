// One HTTPS request at a time, over libcurl; for the agent's enrolment, the simulator and the CLI.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client; // keeps its connection between requests

// ca_file: the only roots trusted. bearer_token may be NULL; it is never logged.
struct http_client *http_client_new(const char *base_url, const char *ca_file, const char *bearer_token,
				    struct error *error) must_check;
// Shows this certificate, and trusts only these authorities, instead of any file's. PEM texts; the key is wiped when
// the client is freed.
bool http_client_set_credential(struct http_client *client, const struct tls_credential *credential,
				struct error *error) must_check;
void http_client_free(struct http_client *client);
DEFINE_CLEANUP(struct http_client, http_client_free)

// A header of all requests from now on; value: printable, without line breaks.
bool http_client_header(struct http_client *client, const char *name, const char *value, struct error *error)
	must_check;

// Of what is asked for from now on only the bytes first to last, where the server can do so (status 206).
void http_client_range(struct http_client *client, int64_t first, int64_t last);

// body NULL: none; otherwise sent as application/json. *status is the HTTP status; the answer's body (at most
// response->max_bytes) is appended to response. True for any HTTP answer; false only when none was had.
bool http_client_request(struct http_client *client, const char *method, const char *path, const char *body,
			 int *status, struct buf *response, struct error *error) must_check;

// For common/http_multi.c. A token must not cross a network in the clear: https://, or http:// to this machine.
bool http_client_url_ok(const char *url);
enum error_kind http_client_error_kind(int code); // of a CURLcode
