// The live consoles of the dashboard's page that are connected: who may read what, and until when (docs/protocol.md,
// section 26). Knows clients by their pointer, which is never followed.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLES_KEYS_MAX 4
#define CONSOLES_SUBSCRIPTIONS_MAX 100 // of one console
#define CONSOLES_ENDED_MAX 4096 // that are remembered: 20 times as many as may be connected

struct consoles;

struct consoles_options {
	// A JSON Web Key Set (RFC 7517) of the dashboard's public keys, read anew when it changes. NULL: nobody is let
	// in.
	const char *keys_path;
	int64_t per_user, total; // so many may be connected at once
	int64_t cell;		 // this broker's: credentials for another count nothing
};

struct consoles *consoles_new(const struct consoles_options *options, struct error *error) must_check;
void consoles_free(struct consoles *consoles);
DEFINE_CLEANUP(struct consoles, consoles_free)

// What the broker knows of a client that has no certificate.
struct console_login {
	const void *client;
	const char *client_id, *token; // as it sent them; NULL: not at all
	bool websockets;
	bool leaves_nothing; // the broker forgets its session with its connection
};

// On success user is the name under which the broker shall know it, "console.<user>".
bool consoles_let_in(struct consoles *consoles, const struct console_login *login, int64_t now_s,
		     char user[PRINCIPAL_MAX], struct error *error) must_check;
void consoles_forget(struct consoles *consoles, const void *client);

// This credential counts no more, whether it is connected or was never shown: its login has ended, or its person's
// rights have changed. until_s: its own end, after which it need not be remembered. When there is no room, nobody is
// let in until then.
void consoles_end(struct consoles *consoles, const char *client_id, int64_t until_s);
// All that ended before now was said. Until then nobody is let in.
void consoles_ends_known(struct consoles *consoles);

bool consoles_is_user(const char *user); // "console.<..>", of whatever client
bool consoles_may_read(const struct consoles *consoles, const void *client, const char *topic);

// The client id of one whose time is over; each is said once. False: there is none (any more).
bool consoles_expired(struct consoles *consoles, int64_t now_s, char *client_id, size_t client_id_bytes);
