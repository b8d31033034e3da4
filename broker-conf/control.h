// The payload of $CONTROL/muster/v1 (docs/protocol.md, section 10). Pure.
#pragma once

#include "broker-conf/revocations.h"

enum control_op { CONTROL_REVOKE, CONTROL_RESTORE };

struct control_request {
	enum control_op op;
	enum revocation_kind kind;
	char name[64]; // device id, or serial in normal form
};

bool control_parse(const char *payload, size_t len_bytes, struct control_request *out, struct error *error) must_check;
