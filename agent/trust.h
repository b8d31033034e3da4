// Takes announcements of whom to obey (docs/protocol.md, section 19): only one that a key signed which the device
// trusts already, and none that is older than the one it has. On the disk before it counts.
#pragma once

#include "agent/identity.h"

enum trust_verdict {
	TRUST_TAKEN,
	TRUST_KNOWN,   // this one or a later one was taken before
	TRUST_REFUSED, // error says why
	TRUST_FAILED,  // it could not be stored: nothing has changed
};

enum trust_verdict trust_take(struct identity *identity, const char *jws, size_t jws_bytes,
			      struct error *error) must_check;
