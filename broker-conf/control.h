// The payload of $CONTROL/muster/v1 (docs/protocol.md, section 10). Pure.
#pragma once

#include "broker-conf/revocations.h"
#include "common/console.h"

#define CONTROL_PARTS_MAX 256 // of a list: far more than REVOCATIONS_MAX_BYTES hold

enum control_op {
	CONTROL_CHANGE, // revoke or restore one
	CONTROL_LIST,	// all that is known, in parts
	CONTROL_KICK,	// end one device's session
	CONTROL_CONSOLES, // credentials of consoles that count no more
};

struct control_console {
	char client_id[CONSOLE_CLIENT_BYTES];
	int64_t until_s;
};

struct control_request {
	enum control_op op;
	int64_t change; // the number of the last change that this brings; -1: not given
	int part, parts; // CONTROL_LIST: from 1
	struct revocation *changes; // CONTROL_KICK: one, the device
	size_t count;
	struct control_console *ended; // CONTROL_CONSOLES
	size_t ended_count;
	bool complete; // these, and what came before on this connection, are all
};

// control_done it in any case.
bool control_parse(const char *payload, size_t len_bytes, struct control_request *out, struct error *error) must_check;
void control_done(struct control_request *request);
#define auto_control cleanup(control_done)
