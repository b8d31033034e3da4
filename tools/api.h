// The dashboard's HTTP API, as the local administrator: the same door that every other client has.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"
#include "tools/stack.h"

#include <stdbool.h>

struct api;

// Reads <state>/api-token; trusts the stack's own service CA only.
struct api *api_new(const struct stack *stack, struct error *error) must_check;
void api_free(struct api *api);
DEFINE_CLEANUP(struct api, api_free)
#define auto_api cleanup(api_free_cleanup)

// body NULL: none; otherwise JSON text. A status of 400 and above becomes an error with the problem's detail and the
// kind that fits. The answer is the caller's.
struct json *api_request(struct api *api, const char *method, const char *path, const char *body,
			 struct error *error) must_check;
