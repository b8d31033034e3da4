// The canary's certificate, with a key that is in memory and in no file: it enrols through the bridge like any device,
// with a token that the database makes for it.
#pragma once

#include "common/crypto.h"
#include "common/error.h"
#include "common/limits.h"
#include "common/pg.h"
#include "common/tls.h"
#include "tools/canary/options.h"

#include <stdbool.h>

struct identity {
	char *key; // PEM; NULL: none
	char token[TOKEN_TEXT_BYTES];
	struct tls *tls; // NULL: not enrolled
	char *host;	 // of the broker
	int port;
	char serial[41];
	char trust[SHA256_HEX_BYTES]; // of the bundle that it got
};

// Wipes the key.
void identity_done(struct identity *identity);
// To be tried again with the same identity when the bridge is away or wants to be asked again: key and token are kept
// then, so that a lost answer costs nothing. Blocks until the bridge has answered.
bool identity_enroll(struct identity *identity, struct pg *pg, const struct options *options, const char *device,
		     struct error *error) must_check;
