// Passwords, hashed with yescrypt (libxcrypt), which costs time and memory on purpose: tens of milliseconds a call.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

#define PASSWORD_MAX_BYTES 511 // libxcrypt's own limit

#define PASSWORD_MIN_CHARACTERS 12 // NIST SP 800-63B asks for length, and for no mixture of characters

// What a password must be that somebody chooses: long enough, and not the name of the account.
bool password_check(const char *plain, const char *name, struct error *error) must_check;
// malloc'd "$y$..." with a fresh salt; ERROR_INVALID for an empty or too long password.
char *password_hash(const char *plain, struct error *error) must_check;
// False for a wrong password and for whatever is not a yescrypt hash. The comparison takes constant time; for equal
// times also where there is no such account, verify against the hash of something random.
bool password_verify(const char *plain, const char *hash) must_check;
