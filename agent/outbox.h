// What the device has to report and must not lose, and what it must remember across a power cut: messages waiting
// for `stored`, the commands it has accepted, and a few named values. One SQLite file (WAL, synchronous=FULL): when
// a function here returns true outside a transaction, the change is on the disk.
//
// Messages are numbered seq = 1, 2, 3, ... within an epoch, which is made with the file. They leave at one end only:
// `stored` deletes a prefix, and a full outbox drops its oldest. Dropping from the middle (say, telemetry before
// results) is not done: what was never declared missing would leave a gap behind which the server's mark could not
// move, while a missing prefix is declared by hello's oldest_seq (docs/protocol.md, sections 5 and 7).
#pragma once

#include "agent/crash.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox;

struct outbox_options {
	const char *path;
	const char *boot_id; // of this boot of the machine; NULL: unknown, and taken for the same as before
	int64_t rows_max;
	int64_t bytes_max;   // of payloads; the file is somewhat larger
	struct crash *crash; // may be NULL
};

// Opens or makes the file, mode 0600. A damaged file is moved aside to <path>.damaged and a new one, with a new epoch,
// is made: *reset then says why in its `what`, and is left alone otherwise. ERROR_EXISTS while another process has
// the outbox for itself.
struct outbox *outbox_open(const struct outbox_options *options, struct error *reset, struct error *error) must_check;
void outbox_free(struct outbox *outbox);
DEFINE_CLEANUP(struct outbox, outbox_free)

// True once SQLite found the file damaged while in use; outbox_reset then moves it aside as outbox_open does.
bool outbox_damaged(const struct outbox *outbox);
bool outbox_reset(struct outbox *outbox, struct error *error) must_check;

const char *outbox_epoch(const struct outbox *outbox);
int64_t outbox_oldest_seq(const struct outbox *outbox); // outbox_next_seq when empty
int64_t outbox_next_seq(const struct outbox *outbox);
int64_t outbox_rows(const struct outbox *outbox);
int64_t outbox_bytes(const struct outbox *outbox);
// Messages dropped in this epoch: the oldest of a full outbox, and those the disk had no room for.
int64_t outbox_dropped(const struct outbox *outbox);

// Transactions, for what must happen together. Everything else is a transaction of its own when none is open.
bool outbox_begin(struct outbox *outbox, struct error *error) must_check;
bool outbox_commit(struct outbox *outbox, struct error *error) must_check; // false: rolled back
void outbox_rollback(struct outbox *outbox);                               // nothing to do without a transaction

// ---- messages ----

// Gives body (a JSON object with at least one member, such as ts) the next seq and keeps it; *seq may be NULL. Drops
// the oldest messages to make room. ERROR_INVALID for a body that can never be sent: then nothing is counted.
bool outbox_push(struct outbox *outbox, const char *topic, struct json *body, int64_t *seq,
		 struct error *error) must_check;

struct outbox_state {
	int64_t rows;      // messages that wait
	int64_t gone_seq;  // all up to it have left the outbox; 0: none
	int64_t reading_seq; // what OUTBOX_READING holds; 0: nothing
};
#define OUTBOX_READING "reading" // a named value: seq of the first reading since the agent was last started
// Of the outbox at path, also while the agent has it open. ERROR_NOT_FOUND without one, or before its tables.
bool outbox_peek(const char *path, struct outbox_state *out, struct error *error) must_check;

struct outbox_message {
	int64_t seq; // 0: there is none
	char topic[TOPIC_MAX_BYTES];
	const char *payload; // the outbox's, until its next call; the same bytes however often it is read
	size_t payload_bytes;
	// How long it has waited, by a clock that nobody sets. Across a reboot at least as long as is known: the time
	// while the machine was off is not.
	int64_t age_ms;
};
// The first message with a seq above after.
bool outbox_next(struct outbox *outbox, int64_t after, struct outbox_message *out, struct error *error) must_check;
// Bytes of all messages up to and including seq.
bool outbox_bytes_to(struct outbox *outbox, int64_t seq, int64_t *out, struct error *error) must_check;

// Deletes what is stored on the server: all up to seq. A foreign epoch deletes nothing. A seq that this outbox has not
// given yet means that the file is an older copy of itself (a restored image): its numbers are taken, so the
// waiting messages go over to a new epoch, numbered from 1. *deleted may be NULL.
bool outbox_stored(struct outbox *outbox, const char *epoch, int64_t seq, int64_t *deleted,
		   struct error *error) must_check;

// ---- named values ----

bool outbox_set(struct outbox *outbox, const char *name, const char *value, struct error *error) must_check;
bool outbox_set_int(struct outbox *outbox, const char *name, int64_t value, struct error *error) must_check;
// malloc'd; NULL when there is none, or it can't be read.
char *outbox_get(struct outbox *outbox, const char *name);
int64_t outbox_get_int(struct outbox *outbox, const char *name, int64_t otherwise);

// ---- commands ----

struct outbox_command {
	char id[COMMAND_ID_BYTES];
	char action[64];    // "": it was cancelled before it came
	char state[16];     // accepted, running, succeeded, failed, rejected, cancelled
	char *params;       // JSON text; owned
	char *result;       // the body last sent on `result`, JSON text; owned
	int64_t result_seq; // of that message
	char boot_id[64];   // of the boot in which it was accepted
};
void outbox_command_done(struct outbox_command *command);

// Inserts or replaces. Of the finished ones the newest OUTBOX_COMMANDS_MAX are kept.
bool outbox_command_put(struct outbox *outbox, const struct outbox_command *command, struct error *error) must_check;
// out is filled, and must be done with, only when *found.
bool outbox_command_find(struct outbox *outbox, const char *id, bool *found, struct outbox_command *out,
			 struct error *error) must_check;
// The oldest that was accepted and has not ended.
bool outbox_command_open(struct outbox *outbox, bool *found, struct outbox_command *out,
			 struct error *error) must_check;

#define OUTBOX_COMMANDS_MAX 1000
