// POST /v1/enroll (docs/protocol.md section 11): the HTTP side of an enrolment.
#pragma once

#include "bridge/enroll.h"
#include "common/http.h"

// Takes the members of the body apart and checks their form; NULL, or what is wrong with them. The strings belong
// to body. The token's form is not checked here: a wrong one is answered as any other bad token.
const char *claim_parse(const struct json *body, struct enroll_claim *out) must_check;
// The same for csr, device and fingerprint, which every request for a certificate has.
const char *claim_parse_common(const struct json *body, struct enroll_claim *out) must_check;
// An absent member leaves *out NULL; false when it is there and no string.
bool claim_optional_string(const struct json *body, const char *name, const char **out) must_check;

// 32 bytes in base64url, strictly.
bool claim_is_secret(const char *text) must_check;

#define CLAIM_BAD_SECRET_DETAIL "\"secret\" must be 32 random bytes in base64url (43 characters)"
#define CLAIM_BAD_CSR_DETAIL                                                                                      \
	"the certificate request was refused: it must be PEM, signed with its own key, and the key ECDSA P-256, P-384" \
	" or RSA of 2048 bits and more"

struct server;
// What a device is given with its certificate. Takes the command keys out of result.
struct json *claim_answer(const struct server *server, struct enroll_result *result);
// With a secret, which may be absent, and no certificate request: a bearer credential is asked for.
const char *claim_parse_credential(const struct json *body, struct enroll_claim *out) must_check;

http_handler claim_handle;
http_handler claim_handle_credential; // POST /v1/register, for devices that speak only HTTP
