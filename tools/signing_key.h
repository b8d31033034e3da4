// The keys that sign commands, in the state folder, and how one takes another's place without a device being cut off:
//
//   keys/command.pem           the current one: commander signs with it
//   keys/command-next.pem      made and announced; devices come to trust it
//   keys/command-old.pem       signs no more; what it has signed still holds
//   keys/command.pem.signers   the announcements (docs/protocol.md, section 19), a JWS each line
//
// Private keys are 0600 and nowhere else. Commander sees a change within a second.
#pragma once

#include "common/signers.h"
#include "tools/stack.h"

enum signing_key_state { SIGNING_KEY_CURRENT, SIGNING_KEY_NEXT, SIGNING_KEY_OLD, SIGNING_KEY_STATES };

struct signing_keys {
	bool present[SIGNING_KEY_STATES];
	struct jws_key keys[SIGNING_KEY_STATES];
	struct signers announced; // the newest announcement; version 0: there is none
};

const char *signing_key_state_name(enum signing_key_state state); // "next"

bool signing_keys_load(const struct stack *stack, struct signing_keys *out, struct error *error) must_check;
// Makes the next key, and announces it beside those that are trusted; trusted counts only where nothing was announced
// yet. ERROR_EXISTS when there is one.
bool signing_key_add(const struct stack *stack, const struct signers *trusted, struct error *error) must_check;
// The next becomes the current one, that one old. ERROR_NOT_FOUND without a next one.
bool signing_key_switch(const struct stack *stack, struct error *error) must_check;
// Announces all but this one, and deletes its file, if there is one. ERROR_INVALID for the current key.
bool signing_key_withdraw(const struct stack *stack, const struct signers *trusted, const char *kid,
			  struct error *error) must_check;
