// Makes moves and what follows from them: the publish of a command that is now sent, the reply to an operator, the next
// command of a device whose last one was answered, logs and metrics.
#pragma once

#include "commander/commander.h"
#include "commander/transition.h"

// Inside the transaction. made, when not NULL, has count elements: whether each move was made.
bool moves_make(struct commander *commander, const struct transition *moves, size_t count, bool *made,
		struct error *error) must_check;

// Publishes jws on the device's command topic after COMMIT.
bool moves_publish(struct commander *commander, const char *device, const char *jws, const char *request_id,
		   struct error *error) must_check;
