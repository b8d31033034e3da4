// The states of a command, the moves between them, and the only function that makes one (docs/protocol.md, section 8).
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// name, text, final
#define COMMAND_STATES(X)                                                                                              \
	X(STATE_REQUESTED, "requested", false)                                                                         \
	X(STATE_QUEUED, "queued", false)                                                                               \
	X(STATE_SENT, "sent", false)                                                                                   \
	X(STATE_ACCEPTED, "accepted", false)                                                                           \
	X(STATE_RUNNING, "running", false)                                                                             \
	X(STATE_SUCCEEDED, "succeeded", true)                                                                          \
	X(STATE_FAILED, "failed", true)                                                                                \
	X(STATE_REJECTED, "rejected", true)                                                                            \
	X(STATE_EXPIRED, "expired", true)                                                                              \
	X(STATE_CANCELLED, "cancelled", true)

enum command_state {
#define X(name, text, final) name,
	COMMAND_STATES(X)
#undef X
		STATE_COUNT
};

// Every move there is. A device that is done at once skips accepted and running. A command whose maintenance window
// closed before the device took it goes back from sent to queued; the moves from there to what devices say, and those
// out of expired, are those of a device that took the command in time and reported late: what it did is the truth.
#define COMMAND_MOVES(X)                                                                                               \
	X(STATE_REQUESTED, STATE_QUEUED)                                                                               \
	X(STATE_REQUESTED, STATE_REJECTED)                                                                             \
	X(STATE_REQUESTED, STATE_EXPIRED)                                                                              \
	X(STATE_REQUESTED, STATE_CANCELLED)                                                                            \
	X(STATE_QUEUED, STATE_SENT)                                                                                    \
	X(STATE_QUEUED, STATE_ACCEPTED)                                                                                \
	X(STATE_QUEUED, STATE_RUNNING)                                                                                 \
	X(STATE_QUEUED, STATE_SUCCEEDED)                                                                               \
	X(STATE_QUEUED, STATE_FAILED)                                                                                  \
	X(STATE_QUEUED, STATE_REJECTED)                                                                                \
	X(STATE_QUEUED, STATE_EXPIRED)                                                                                 \
	X(STATE_QUEUED, STATE_CANCELLED)                                                                               \
	X(STATE_SENT, STATE_QUEUED)                                                                                    \
	X(STATE_SENT, STATE_ACCEPTED)                                                                                  \
	X(STATE_SENT, STATE_RUNNING)                                                                                   \
	X(STATE_SENT, STATE_SUCCEEDED)                                                                                 \
	X(STATE_SENT, STATE_FAILED)                                                                                    \
	X(STATE_SENT, STATE_REJECTED)                                                                                  \
	X(STATE_SENT, STATE_EXPIRED)                                                                                   \
	X(STATE_SENT, STATE_CANCELLED)                                                                                 \
	X(STATE_ACCEPTED, STATE_RUNNING)                                                                               \
	X(STATE_ACCEPTED, STATE_SUCCEEDED)                                                                             \
	X(STATE_ACCEPTED, STATE_FAILED)                                                                                \
	X(STATE_ACCEPTED, STATE_REJECTED)                                                                              \
	X(STATE_ACCEPTED, STATE_EXPIRED)                                                                               \
	X(STATE_ACCEPTED, STATE_CANCELLED)                                                                             \
	X(STATE_RUNNING, STATE_SUCCEEDED)                                                                              \
	X(STATE_RUNNING, STATE_FAILED)                                                                                 \
	X(STATE_RUNNING, STATE_CANCELLED)                                                                              \
	X(STATE_RUNNING, STATE_EXPIRED)                                                                                \
	X(STATE_EXPIRED, STATE_ACCEPTED)                                                                               \
	X(STATE_EXPIRED, STATE_RUNNING)                                                                                \
	X(STATE_EXPIRED, STATE_SUCCEEDED)                                                                              \
	X(STATE_EXPIRED, STATE_FAILED)

const char *command_state_name(enum command_state state);
bool command_state_parse(const char *text, enum command_state *out) must_check;
bool command_state_is_final(enum command_state state);
bool transition_allowed(enum command_state from, enum command_state to);

struct transition {
	const char *command; // id
	enum command_state from, to;
	const char *cause;  // what moved it: "request", "publish", "result", "timer"
	const char *reason; // NULL: stays as it is
	const char *result; // output of the device as JSON text; NULL: stays as it is
	const char *jws;    // set with counter on the move to sent; NULL otherwise
	int64_t counter;
	int64_t next_ms;  // from now: queued: until its turn can come; sent: until it is published again
	int64_t timer_ms; // from now: sent: until it must be accepted; accepted, running: until it must have ended
};

// Makes the moves inside the caller's transaction, with a row of command_event each. Several moves of one command stand
// in their order, and are made together or not at all. A command that is not (or no longer) in the state that its first
// move starts from stays as it is: compare-and-set, so that two commanders may run. A move that is not in the table
// fails the whole call before anything is asked of the database.
//
// *moved: one row per move made, in the order of moves, with the columns of enum moved.
bool transition_apply(struct pg *pg, const struct transition *moves, size_t count, struct pg_result **moved,
		      struct error *error) must_check;

enum moved {
	MOVED_INDEX, // into moves
	MOVED_COMMAND,
	MOVED_DEVICE,
	MOVED_ACTION,
	MOVED_STATE, // after this move
	MOVED_REQUEST_ID,
	MOVED_REPLY_TOPIC, // NULL: nobody waits for replies
	MOVED_CORRELATION, // hex; NULL without
	MOVED_REASON,
	MOVED_RESULT, // JSON text; NULL without
	MOVED_JWS,
	MOVED_AT_MS,
	MOVED_CAMPAIGN, // NULL: none
};
