// Self-registration (docs/protocol.md, section 11): the device makes its key, asks to be let in, and polls until a
// person has decided; then it takes its certificate. It may be killed at any step and go on where it was: key and
// secret are on the disk before anybody hears of them, and the same key with the same secret is the same registration.
#pragma once

#include "agent/crash.h"
#include "agent/identity.h"
#include "agent/options.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct register_wish {
	const char *device; // the id asked for; NULL: none
	const char *serial; // NULL: that of the hardware, if it has one
	int64_t wait_s;	    // how long to wait for a decision; below 0: for ever
};

// How it waits and what it says meanwhile.
struct register_hooks {
	void (*pause)(void *user, int64_t ms);
	void (*tell)(void *user, const char *text); // one line, when something has changed
	void *user;
	struct crash *crash; // may be NULL
};

enum register_outcome {
	REGISTER_ENROLLED,
	REGISTER_ALREADY,  // it was enrolled before
	REGISTER_REJECTED, // error says why
	REGISTER_WAITING,  // nobody has decided in time; to be called again later
	REGISTER_FAILED,   // error says why, and what to do
};

// identity is filled with the first two, and must be done with in every case.
enum register_outcome register_device(const struct agent_options *options, const struct register_wish *wish,
				      const struct register_hooks *hooks, struct identity *identity,
				      struct error *error) must_check;

// The serial number on the case, malloc'd; NULL when the machine tells none, or what its maker left there by oversight.
char *register_serial(const char *root) must_check;
