// Enrolment (docs/protocol.md, section 11): makes the device's key, which never leaves the device, and gets a
// certificate for it from the bridge. Each step may be repeated after a crash: the same key asking again with the same
// token gets the same certificate.
#pragma once

#include "agent/identity.h"
#include "agent/options.h"
#include "common/error.h"

#include <stdbool.h>

// again: a device that is enrolled gets another credential under its id, and keeps its outbox; the token must be bound
// to that id, and the agent must not run. wish: the device id asked for; NULL leaves it to the server. *already:
// nothing was asked, since the device is enrolled. identity is filled in both cases, and must be done with in every
// case.
bool enroll(const struct agent_options *options, const char *token, const char *wish, bool again,
	    struct identity *identity, bool *already, struct error *error) must_check;
// From path, "-" being standard input; the first line. malloc'd.
char *enroll_read_token(const char *path, struct error *error) must_check;
