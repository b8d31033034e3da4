// The counters of campaigns: what the moves of their commands add to them, once a transaction. A campaign's progress is
// in its own row, so that nobody has to look at its targets.
#pragma once

#include "commander/transition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAMPAIGNS_MAX 4096 // whose commands move in one transaction

struct commander;

struct campaign_delta {
	int64_t id;
	int64_t ended[STATE_COUNT]; // by end state: came in less went out
};

struct campaigns {
	struct campaign_delta *deltas;
	size_t count, capacity;
};

// campaign: its id as text; NULL: the command belongs to none. False when memory ran out or CAMPAIGNS_MAX is reached.
bool campaign_note(struct campaigns *campaigns, const char *campaign, enum command_state from, enum command_state to);
void campaign_forget(struct campaigns *campaigns); // after a rollback
void campaign_done(struct campaigns *campaigns);
// Adds them in the database. Rows are locked in the order of their ids and late in the transaction, so that two
// commanders wait for each other for a moment only, and never in a circle.
bool campaign_store(struct commander *commander, struct error *error) must_check;
