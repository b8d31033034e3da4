// Brings the broker's revocation list to what the database says, at each change, each (re)connect, and whenever the
// guard says that its list is behind, damaged or gone (docs/protocol.md, section 10).
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct commander;

// What the guard last said about its list, and what it was sent since.
struct revocation {
	bool told; // since this connection
	bool readable;
	int64_t applied;
	char sha256[SHA256_HEX_BYTES];
	bool verify;	    // compare all of it, not only the numbers
	bool listed;	    // it was sent whole since then
	bool record;	    // applied rose: the effects are to be written down
	bool prune;	    // take out what has expired
	int64_t sent;	    // up to this change, and not confirmed yet
	int64_t sent_ms;    // monotonic; 0: nothing is on its way
	int64_t pruned_ms;  // monotonic
	bool differs;	    // it holds names that the database does not know: they stay revoked
	int64_t waiting;    // changes that are not confirmed
};

// Reads the guard's message. False when it is none.
bool revocation_parse(const char *payload, size_t len_bytes, struct revocation *revocation,
		      struct error *error) must_check;

void revocation_connected(struct commander *commander);
void revocation_told(struct commander *commander, const char *payload, size_t len_bytes);
// Once a second: whether an answer is overdue, or it is time to prune.
void revocation_tick(struct commander *commander);
// What was sent in the last transaction was not.
void revocation_rolled_back(struct commander *commander);
// Inside the transaction, when DUE_REVOCATION is set or devices came online.
bool revocation_run(struct commander *commander, struct error *error) must_check;
