// Keeps the roster (db/migrations/0028_roster.sql, docs/decisions/0026) up to date from a thread with a connection of
// its own: every 0.3 s where that is quick, every 2 s at most where many devices change. Several may do so at once.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

struct roster;

struct roster *roster_new(const char *conninfo, struct error *error) must_check;
void roster_free(struct roster *roster); // ends the thread
DEFINE_CLEANUP(struct roster, roster_free)
bool roster_start(struct roster *roster, struct error *error) must_check;
