// Obeys commands (docs/protocol.md, section 8): checks, stores, acts, answers. The answer goes into the outbox in the
// same transaction as what the device must remember of it. So a command has at most one effect: what was accepted
// and not finished when the agent died is done again only if that changes nothing, and reported as failed otherwise.
#pragma once

#include "agent/action.h"
#include "agent/crash.h"
#include "agent/identity.h"
#include "agent/outbox.h"
#include "common/command.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define EXECUTOR_REFUSALS_MAX 10 // events a minute; more are counted: anyone who can publish could fill the outbox
#define EXECUTOR_CHILD_TIMEOUT_MS 60000

struct executor_options {
	struct outbox *outbox;
	const struct identity *identity;
	const char *root;             // of /proc, see system.h
	const char *boot_id;
	char *const *actions;         // allowed here
	char *const *reboot_command;
	struct crash *crash;          // may be NULL
	void (*interval_changed)(void *user, int64_t seconds);
	void *user;
};

struct executor {
	struct executor_options options;
	char result_topic[TOPIC_MAX_BYTES], event_topic[TOPIC_MAX_BYTES];
	int64_t counter_high, server_time_s;
	bool counter_unsaved; // in counter.json
	int64_t new_interval_s; // set by an action, made known after its commit; 0: none

	pid_t child; // 0: none
	int child_fd; // pidfd_open(2); -1: none
	int64_t child_deadline_ms;
	char child_command[COMMAND_ID_BYTES];
	bool child_ended;       // and its result is not stored yet
	char child_reason[128]; // why it failed; "" when it did not
	bool resume_due;        // an accepted command could not be brought to its end: no room on the disk

	int64_t refusals_since_ms;
	int refusals;
	int64_t refusals_hidden;
};

// Brings what an earlier run left unfinished to its end.
bool executor_init(struct executor *executor, const struct executor_options *options, struct error *error) must_check;
void executor_done(struct executor *executor); // leaves a running child alone

// A payload of `command`. False when it could not be stored: then nothing was done.
bool executor_command(struct executor *executor, const char *jws, size_t jws_bytes, struct error *error) must_check;

// A child that an action started: watch executor_fd for reading, and call executor_poll then and after
// executor_timeout_ms.
int executor_fd(const struct executor *executor);
int64_t executor_timeout_ms(const struct executor *executor); // -1: nothing to wait for
bool executor_poll(struct executor *executor, struct error *error) must_check;

// Copies counter and server time to counter.json, from where they are taken when the outbox was damaged and a new one
// made: a command that was obeyed must not be obeyed again. To be called when there is nothing urgent.
bool executor_save_counter(struct executor *executor, struct error *error) must_check;
