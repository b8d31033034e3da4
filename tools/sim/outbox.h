// A simulated device's outbox, in memory: what it has reported and what is not known to be stored
// (docs/protocol.md section 7). Pure: sends nothing, knows no clock.
#pragma once

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/topic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox_entry {
	struct outbox_entry *next;
	enum topic_kind kind;
	int64_t first_seq, last_seq; // a message with an array of readings takes as many
	int mid;                     // of its latest publish; 0: none in this connection
	bool sent_before;            // in any connection: the next publish is a resend
	int64_t made_ms;             // by a clock that only goes forward, the caller's
	size_t payload_bytes;
	char payload[];
};

struct outbox {
	char epoch[EPOCH_MAX + 1];
	int64_t next_seq;
	struct outbox_entry *head, *tail; // in order of seq
	struct outbox_entry *unsent;      // the first that was not sent in this connection
	size_t count, in_flight;          // messages; in flight: sent in this connection and not stored
};

void outbox_init(struct outbox *outbox); // a new epoch
void outbox_done(struct outbox *outbox);
// Appends a message that carries the seqs next_seq ... next_seq + seq_count - 1. False when memory ran out.
bool outbox_push(struct outbox *outbox, enum topic_kind kind, const char *payload, size_t payload_bytes,
		 int64_t seq_count, int64_t made_ms) must_check;
// The message to send next, NULL when all are sent or window are in flight. outbox_sent moves on.
struct outbox_entry *outbox_next(const struct outbox *outbox, size_t window);
void outbox_sent(struct outbox *outbox, int mid);
// Everything is to be sent again: after a connect, and on a stall.
void outbox_rewind(struct outbox *outbox);
// What `stored` says; returns how many messages went. Another epoch's, and messages covered in part, stay.
size_t outbox_stored(struct outbox *outbox, const char *epoch, int64_t seq);
// The negative control: deletes by PUBACK.
bool outbox_forget(struct outbox *outbox, int mid);
// For hello: the lowest seq that may still be sent.
int64_t outbox_oldest_seq(const struct outbox *outbox);
