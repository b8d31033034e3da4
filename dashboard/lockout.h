// Counts failed logins per account and per address, in memory and bounded: after LOCKOUT_FAILURES the key is
// locked for a minute, then twice as long for each further failure, up to a quarter of an hour. A name that
// does not exist is counted like one that does, so that answers tell nothing about accounts.
#pragma once

#include "common/cleanup.h"

#include <stdint.h>

#define LOCKOUT_FAILURES 10
#define LOCKOUT_FIRST_MS INT64_C(60000)
#define LOCKOUT_LONGEST_MS INT64_C(900000) // also how long failures are remembered without a new one
#define LOCKOUT_KEYS_MAX 4096               // beyond, the key whose last failure is oldest is forgotten

struct lockout;
enum lockout_scope { LOCKOUT_ACCOUNT, LOCKOUT_ADDRESS };

struct lockout *lockout_new(void);
void lockout_free(struct lockout *lockout);
DEFINE_CLEANUP(struct lockout, lockout_free)

// Times are of the monotonic clock. Returns how long the key is still locked, 0 when it is not.
int64_t lockout_remaining_ms(const struct lockout *lockout, enum lockout_scope scope, const char *key, int64_t now_ms);
void lockout_fail(struct lockout *lockout, enum lockout_scope scope, const char *key, int64_t now_ms);
void lockout_forget(struct lockout *lockout, enum lockout_scope scope, const char *key);
