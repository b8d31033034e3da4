// The hardware a certificate is bound to (design: identity): SHA-256 over machine id, product UUID, board serial
// and the first permanent MAC.
#pragma once

#include "common/crypto.h"

#include <stdbool.h>

// False when the machine has none of the four. *hidden (may be NULL): one of them exists but this user may not read
// it, so the same machine would give root another fingerprint.
bool fingerprint_read(const char *root, char out[SHA256_HEX_BYTES], bool *hidden) must_check;
