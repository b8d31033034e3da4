// What a device signs of a result (docs/protocol.md, section 19): one JSON text that says the same to whoever makes it
// from the message, before it was sent or after.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/json.h"

#include <stdbool.h>

#define RESULT_TYP "muster-result"
#define RESULT_TEXT_MAX_BYTES 131072 // an output of 32 kB with everything escaped, and a reason

// {"typ":"muster-result","device":device, and then the message's members but epoch, seq and sig, as they stand}.
// False when the message has a typ or device of its own, or is no object. out is initialised.
bool result_text(const char *device, const struct json *message, struct buf *out) must_check;
