// Tells the guard which credentials of live consoles were ended before their time (docs/protocol.md, section 26): each
// as it happens, and all of them after each connect, before which a guard that was started anew lets no console in.
#pragma once

#include "common/console.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct commander;

#define CONSOLE_ENDS_MAX 64 // that are told one by one; beyond them all are

// "console.<hex> <seconds since 1970>", as the database notifies and the guard reads it.
struct console_end {
	char text[CONSOLE_CLIENT_BYTES + 24];
};

struct console_ends {
	struct console_end ends[CONSOLE_ENDS_MAX];
	size_t count;
	bool all; // all are to be told
};

// To be told all again: after a connect to the broker or to the database, and what a transaction that failed told.
void console_tell_all(struct commander *commander);
// Of a notification.
void console_ended(struct commander *commander, const char *payload);
// Inside the transaction, when DUE_CONSOLES is set.
bool console_run(struct commander *commander, struct error *error) must_check;
