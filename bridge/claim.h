// POST /v1/enroll (docs/protocol.md section 11): the HTTP side of an enrolment.
#pragma once

#include "bridge/enroll.h"
#include "common/http.h"

// Takes the members of the body apart and checks their form; NULL, or what is wrong with them. The strings belong
// to body. The token's form is not checked here: a wrong one is answered as any other bad token.
const char *claim_parse(const struct json *body, struct enroll_claim *out) must_check;

http_handler claim_handle;
