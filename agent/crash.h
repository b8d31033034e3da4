// The points at which the agent can be made to die (common/crash.h).
#pragma once

#include "common/crash.h"

enum crash_point {
	CRASH_NONE = 0,
	CRASH_OUTBOX_COMMIT,  // "outbox.commit": a message is durably in the outbox, and not sent
	CRASH_PUBLISH,        // "publish": messages of the outbox were handed to the socket
	CRASH_PUBACK,         // "puback": the broker acknowledged one, nobody has stored it
	CRASH_STORED,         // "stored": the server has stored messages that the outbox still holds
	CRASH_COMMAND_STORED, // "command.stored": a command is durably accepted, and nothing was done
	// While the device registers itself:
	CRASH_REGISTER_KEY,      // "register.key": the key is kept
	CRASH_REGISTER_SECRET,   // "register.secret": and the secret; nobody was asked
	CRASH_REGISTER_ASKED,    // "register.asked": the bridge has it
	CRASH_REGISTER_ANSWERED, // "register.answered": the certificate came and is nowhere yet
	CRASH_REGISTER_KEPT,     // "register.kept": it is kept
	// While the certificate is renewed:
	CRASH_RENEW_KEY,      // "renew.key": the new key is kept; nobody was asked
	CRASH_RENEW_ANSWER,   // "renew.answer": and its certificate, not tried yet
	CRASH_RENEW_TRIED,    // "renew.tried": it connects, and the old one is still in place
	CRASH_RENEW_REPLACED, // "renew.replaced": it is in place; hello has not told so
};

// Reads MUSTER_CRASH_AT; NULL or "" chooses none.
bool crash_init(struct crash *crash, const char *text, struct error *error) must_check;
