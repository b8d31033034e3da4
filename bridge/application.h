// POST and GET /v1/registration (docs/protocol.md section 11): the HTTP side of a self-registration.
#pragma once

#include "bridge/registration.h"
#include "common/http.h"

#define APPLICATION_INFO_MAX_BYTES 4096
#define APPLICATION_SERIAL_MAX 128

// Takes the members of the body apart and checks their form; NULL, or what is wrong with them. The strings belong to
// body. An absent secret stays NULL.
const char *application_parse(struct json *body, struct registration_request *out) must_check;
// The credentials of "Bearer <secret>" (RFC 6750) when they have the form of a secret, else NULL.
const char *application_bearer(const char *authorization) must_check;

http_handler application_ask;
http_handler application_poll;
