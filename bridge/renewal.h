// The two doors of renewal (docs/protocol.md section 11): csr over MQTT, answered on certificate, and POST /v1/renew
// with the certificate that is to be renewed in TLS.
#pragma once

#include "bridge/link.h"
#include "bridge/renew.h"
#include "common/http.h"

struct server;

enum { RENEWAL_REQUEST_BYTES = 37 };
// One message on csr. The strings belong to json.
struct renewal_request {
	const char *request;
	const char *csr;
	const char *fingerprint; // NULL: none told
};
// NULL, or what is wrong with it. out->request is set as soon as it is sound, so that the refusal can name it.
const char *renewal_parse(const struct json *json, bool with_request, struct renewal_request *out) must_check;

link_message_fn renewal_on_csr; // user: struct server
http_handler renewal_handle;
