// The dashboard's HTTP API, as the local administrator: the same door that every other client has.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"
#include "tools/cli.h"
#include "tools/stack.h"

#include <stdbool.h>
#include <stdint.h>

struct api;

// Reads <state>/api-token; trusts the stack's own service CA only.
struct api *api_new(const struct stack *stack, struct error *error) must_check;
void api_free(struct api *api);
DEFINE_CLEANUP(struct api, api_free)
#define auto_api cleanup(api_free_cleanup)

// All requests from now on are one: the first is done, and the others get its answer.
bool api_idempotency_key(struct api *api, const char *key, struct error *error) must_check;
// body NULL: none; otherwise JSON text. A status of 400 and above becomes an error with the problem's detail, the kind
// that fits and the status as its code. The answer is the caller's.
struct json *api_request(struct api *api, const char *method, const char *path, const char *body,
			 struct error *error) must_check;
// As api_request, for an answer that is no JSON: appended to out.
bool api_fetch(struct api *api, const char *method, const char *path, const char *body, struct buf *out,
	       struct error *error) must_check;
// Appends the file at path to that of the descriptor, which holds its first have_bytes already.
bool api_download(struct api *api, const char *path, int fd, int64_t have_bytes, struct error *error) must_check;
// Follows the pages of a listing and appends all that they hold to items, an array. filter: "" or "&name=value...", for
// URLs.
bool api_list(struct api *api, const char *path, const char *filter, struct json *items,
	      struct error *error) must_check;
// All that such a listing holds, as {"items":[...]}. NULL with the error.
struct json *api_items(struct api *api, const char *path, const char *filter, struct error *error) must_check;

// Appends text as it may stand in a URL's query.
void api_add_encoded(struct buf *out, const char *text, size_t length);

// For the verbs. api_open finds the stack and makes the client; NULL when it cannot: it has said why, and *exit_code is
// the verb's.
struct api *api_open(struct cli *cli, int *exit_code) must_check;
// Says why a request failed and what to do about it; returns the exit code.
int api_fail(const struct cli *cli, const struct error *error);
int api_no_device(const struct cli *cli, const char *device);
// One request; prints the answer, as JSON or with tell. hint: what to do about a 404 or 409. Returns the exit code.
int api_ask(struct cli *cli, const char *method, const char *path, struct json *body, const char *hint,
	    void (*tell)(const struct json *answer));
// The same for a whole listing; none: what is said when there is nothing in it.
int api_show(struct cli *cli, const char *path, const char *filter, void (*tell)(const struct json *items),
	     const char *none);
