// What operators are told (docs/protocol.md, section 9).
#pragma once

#include "commander/outgoing.h"
#include "commander/transition.h"

#include "common/buf.h"

#define REPLY_MAX_BYTES 65536 // an output of up to 32 kB, with everything escaped once

struct reply_state {
	const char *request; // as the operator named it; "" or NULL without
	const char *command, *device, *action, *state;
	int64_t at_ms;
	const char *reason; // "" or NULL without
	const char *output; // JSON text; NULL without
};

void reply_state_json(const struct reply_state *state, struct buf *out);
void reply_refusal_json(const char *request, const char *what, const char *detail, struct buf *out);

void reply_cancel_json(const char *request, const char *command, struct buf *out);

// Adds the reply for one row of transition_apply's answer.
bool reply_moved(struct outgoing *outgoing, const struct pg_result *moved, size_t row, struct error *error) must_check;
