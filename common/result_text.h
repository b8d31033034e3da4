// What a device signs of a result (docs/protocol.md, section 19): one JSON text that says the same to whoever makes it
// from the message, before it was sent or after.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>

#define RESULT_TYP "muster-result"
#define RESULT_TEXT_MAX_BYTES 131072 // an output of 32 kB with everything escaped, and a reason

// {"typ":"muster-result","device":device, and then the message's members but epoch, seq and sig, as they stand}.
// False when the message has a typ or device of its own, or is no object. out is initialised.
bool result_text(const char *device, const struct json *message, struct buf *out) must_check;

struct evp_pkey_st; // OpenSSL's EVP_PKEY

// Adds sig to a message in the making, from its "{" to its last member but without the "}".
bool result_text_sign(struct evp_pkey_st *key, const char *device, struct buf *message,
		      struct error *error) must_check;
