// Whom a device obeys: the set of keys that sign commands, announced in a message that is itself signed by one of them
// (docs/protocol.md, section 19). Each announcement replaces the set before it; its version rises.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/jws.h"

#include <stddef.h>
#include <stdint.h>

#define SIGNERS_TYP "muster-signers+jws"
#define SIGNERS_MAX 8 // the current key, the next, and old ones that still count

struct signers {
	int64_t version;  // 0: never announced
	int64_t issued_s; // seconds since 1970
	struct jws_key keys[SIGNERS_MAX];
	size_t count;
};

const struct jws_key *signers_find(const struct signers *signers, const char *kid); // NULL: not among them

// The signer must be one of the set, so that whoever takes the set can go on from there. malloc'd.
char *signers_sign(const struct jws_signer *signer, const struct signers *signers, struct error *error) must_check;
// Checks the signature by one of keys, and the form.
bool signers_verify(const char *jws, size_t jws_bytes, const struct jws_key *keys, size_t key_count,
		    struct signers *out, struct error *error) must_check;
// The same by the keys that the announcement itself names: whether it is whole, not whether it is to be believed.
bool signers_read(const char *jws, size_t jws_bytes, struct signers *out, struct error *error) must_check;
