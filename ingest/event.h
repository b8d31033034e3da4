// Events, and what the special one, hello, says.
#pragma once

#include "ingest/reading.h"

#include <stdint.h>

struct hello {
	const char *epoch;         // NULL: it names no outbox
	int64_t oldest_seq;        // 0: not given
	int32_t interval_s;        // 0: not given
	const char *agent_version; // NULL: not given
	const char *fingerprint;   // of the hardware, 64 hex digits; NULL: not given
	const char *peer;	   // address from which it came, up to PEER_MAX bytes; "": not known
	const char *certificate;   // serial in hex, lower case without leading zeros; NULL: not given
	int64_t signers;           // version of the command keys that it has; -1: not given
	const char *trust;         // SHA-256 in hex; NULL: not given
	const char *push_token;    // "": it has none any more; NULL: not given
	const struct reading *latest; // for the device's state only; NULL: not given
	int64_t latest_ms;
};

struct event {
	const char *type;
	const char *body; // JSON object of the other members
};
