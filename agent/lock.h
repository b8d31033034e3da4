// Whether an agent runs with this state folder: it holds a lock on the file "lock" there, which ends with the process.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

// A descriptor that holds the lock until it is closed; -1 with ERROR_EXISTS when another process has it.
int lock_take(const char *state_dir, struct error *error) must_check;
bool lock_held(const char *state_dir); // by any process
