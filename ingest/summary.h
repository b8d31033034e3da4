// What a range of messages says about each device, and about each epoch of a device: one row each in the database,
// however many messages there are.
#pragma once

#include "ingest/index.h"
#include "ingest/message.h"
#include "ingest/reading.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// That it came online or went offline, and how that is known.
struct evidence {
	const char *why;  // NULL: there is none
	int64_t session;  // 0: not given
	int64_t at_ms;
	bool firm;        // online: heard live, not from the broker's memory; offline: said by the device itself
};

struct device_summary {
	const char *device;
	int64_t seen_ms; // the latest sign of life; 0: none
	size_t messages, bytes; // messages, an array's readings each, and bytes of payload
	size_t first, last;     // of its messages, by place in the range: see summary.next
	struct evidence online, offline; // offline is what came after online
	int32_t interval_s;        // 0: nothing new
	const char *agent_version; // NULL: nothing new
	const char *certificate;   // serial; NULL: nothing new
	const char *trust;         // SHA-256 of its CA bundle; NULL: nothing new
	bool has_signers;
	int64_t signers;           // version of the command keys that it has
	bool has_reading;
	int64_t reading_ms;
	struct reading reading; // the newest value of each field
};

struct run {
	int64_t first, last;
};

struct epoch_summary {
	const char *device, *epoch;
	struct run *runs; // of the seqs in this range of messages; in order and apart
	size_t run_count, run_max;
	int64_t received;  // messages, repetitions included
	int64_t repeated;  // of these within this range
	int64_t late;      // of these after a higher one within this range, the repeated ones left out
	int64_t floor;     // all below is stored or dropped, says the device; 0: it said nothing
	bool unanswered;   // somebody did not set a response topic
	struct reply_link *replies;
	// The ledger's, filled by ledger_lock and ledger_close_gaps.
	int64_t contiguous, highest, contiguous_before, highest_before, gaps;
	// By repetition_find: what of runs came before, and whether something came that the device had declared
	// dropped.
	struct run *again;
	size_t again_count;
	bool revived;
};

#define SUMMARY_END SIZE_MAX

struct reply_link {
	const struct reply *reply;
	struct reply_link *next;
};

struct summary {
	struct arena arena;
	struct index device_index, epoch_index;
	struct device_summary **devices;
	struct epoch_summary **epochs;
	size_t device_count, epoch_count, device_max, epoch_max;
	size_t *next; // of each message: the place of its device's next; SUMMARY_END behind the last
	size_t refused;
	size_t hellos;
	bool held; // there is evidence that a device has gone, other than its own word
};

void summary_init(struct summary *summary);
void summary_done(struct summary *summary);
// Devices and epochs come out in order of their names: all programs that lock
// their rows do it in this order.
void summary_make(struct summary *summary, const struct message *messages, size_t count);

// One of the epochs that summary_make found.
struct epoch_summary *summary_epoch(const struct summary *summary, const char *device, const char *epoch);

// A reading of ts_ms, in whatever order they come.
void device_summary_reading(struct device_summary *device, const struct reading *reading, int64_t ts_ms);
void device_summary_online(struct device_summary *device, const char *why, int64_t session, int64_t at_ms, bool firm);
void device_summary_offline(struct device_summary *device, const char *why, int64_t session, int64_t at_ms, bool firm);
