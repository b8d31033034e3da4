// Obeys commands (docs/protocol.md, section 8): checks, stores, acts, answers. The answer goes into the outbox in the
// same transaction as what the device must remember of it. So a command has at most one effect: what was accepted
// and not finished when the agent died is done again only if that changes nothing, and reported as failed otherwise.
#pragma once

#include "agent/action.h"
#include "agent/crash.h"
#include "agent/identity.h"
#include "agent/options.h"
#include "agent/outbox.h"
#include "agent/tasks.h"
#include "common/command.h"
#include "common/signature.h"

#include <stdbool.h>
#include <stdint.h>

#define EXECUTOR_REFUSALS_MAX 10 // events a minute; more are counted: anyone who can publish could fill the outbox
#define EXECUTOR_LEAVING_MS 600000 // unenroll waits no longer for the server to have its answer

struct executor_options {
	struct outbox *outbox;
	struct identity *identity; // announcements of signers change its keys
	const char *root;             // of /proc and the system's programs, see system.h
	const char *boot_id;
	const struct agent_options *config;
	struct crash *crash;          // may be NULL
	void (*interval_changed)(void *user, int64_t seconds);
	void (*settings_changed)(void *user, const struct json *settings);
	void (*signers_changed)(void *user); // may be NULL
	// Signs a result with the device's key; NULL: results are not signed.
	bool (*sign)(void *user, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX], struct error *error);
	void *user;
};

// What an action has changed, made known after its commit.
struct executor_changes {
	int64_t interval_s;    // 0: no change
	struct json *settings; // by set_config; NULL: none
	bool leaving;
};

struct executor {
	struct executor_options options;
	char result_topic[TOPIC_MAX_BYTES], event_topic[TOPIC_MAX_BYTES];
	int64_t counter_high, server_time_s;
	bool counter_unsaved; // in counter.json
	struct executor_changes changed;
	struct tasks tasks;
	int64_t leaving_seq; // when this message is stored, the device leaves the fleet; 0: it stays
	int64_t leaving_ms;  // or then
	bool resume_due;        // an accepted command could not be brought to its end: no room on the disk

	int64_t refusals_since_ms;
	int refusals;
	int64_t refusals_hidden;
};

// Brings what an earlier run left unfinished to its end.
bool executor_init(struct executor *executor, const struct executor_options *options, struct error *error) must_check;
void executor_done(struct executor *executor); // ends the programs that run, but those that outlive the agent

// A payload of `command`: a command, or an announcement of signers. False when it could not be stored: then nothing was
// done.
bool executor_command(struct executor *executor, const char *jws, size_t jws_bytes, struct error *error) must_check;

// For the action cancel, within its transaction. Whether a command came, or was forestalled, and is still remembered:
bool executor_knows(struct executor *executor, const char *id, bool *out, struct error *error) must_check;
// Answers `cancelled` for a command that is not known, and remembers that: when it comes after all it is not executed.
bool executor_forestall(struct executor *executor, const char *id, struct error *error) must_check;

// The programs that actions started: watch executor_fd for reading, and call executor_poll then and after
// executor_timeout_ms.
int executor_fd(const struct executor *executor);
int64_t executor_timeout_ms(const struct executor *executor); // -1: nothing to wait for
bool executor_poll(struct executor *executor, struct error *error) must_check;
// unenroll was obeyed, and the server has the answer: the agent is to end, and to wipe what enrolment left.
bool executor_may_leave(const struct executor *executor);

// Copies counter and server time to counter.json, from where they are taken when the outbox was damaged and a new one
// made: a command that was obeyed must not be obeyed again. To be called when there is nothing urgent.
bool executor_save_counter(struct executor *executor, struct error *error) must_check;
