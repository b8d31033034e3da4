// The points at which commander can be made to die (common/crash.h): each step of a command. Those of a transaction
// count only where it moves commands.
#pragma once

#include "common/crash.h"

enum crash_point {
	CRASH_SIGNED = 1, // "signed": in the transaction, not yet in the database
	CRASH_RESULT_READ,	  // "result.read": nothing of it was applied
	CRASH_COMMIT,		  // "commit": before COMMIT
	CRASH_COMMITTED,	  // "committed": nothing of it was published
	CRASH_PUBLISHED,	  // "published": commands or replies were handed to the socket
};

// Reads MUSTER_CRASH_AT.
bool commander_crash_init(struct crash *crash, struct error *error) must_check;
